"""`python -m asyncrestore`: the command line."""

from __future__ import annotations

from asyncrestore.cli import main

if __name__ == "__main__":
    main()
