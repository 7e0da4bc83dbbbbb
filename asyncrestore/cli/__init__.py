"""The command line: `asyncrestore COMMAND ...`; results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from asyncrestore.cli.streams import prepare_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its exit code.

    Args:
        arguments: without the program's name; those of this process when not given.
    """
    prepare_streams()
    # Arrow's own allocator keeps what it once had: restoring a million datoms the process had 159 MB at most,
    # with the system's 104 MB. It is chosen when Arrow is first loaded, which is later.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    program = _load()
    sys.exit(program(sys.argv[1:] if arguments is None else arguments))


def _load() -> Callable[[Sequence[str]], int]:
    """The program. Until it is loaded nothing is done, so that Ctrl-C may simply end the process."""
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from asyncrestore.cli.app import program  # noqa: PLC0415 - the handler above goes first

    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)
    return program
