"""The command line: `asyncrestore COMMAND ...`; results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from asyncrestore.cli.app import program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its exit code.

    Args:
        arguments: without the program's name; those of this process when not given.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A value in a report that the terminal cannot show must not end a command that took hours.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Arrow's own allocator keeps what it once had: restoring a million datoms the process had 159 MB at most,
    # with the system's 104 MB. It is chosen when Arrow is first loaded, which is later.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    sys.exit(program(sys.argv[1:] if arguments is None else arguments))
