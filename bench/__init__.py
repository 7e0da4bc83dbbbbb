"""The benchmark: asyncrestore beside the speed of the database itself; see `bench/README.md`.

`bench.run()` measures and returns the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.running import run as run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    """Imports when asked: measured processes are modules of this package, and load only what they need."""
    if name == "run":
        from bench.running import run

        return run
    raise AttributeError(name)
