"""The command line: `asyncrestore COMMAND ...`; results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from asyncrestore.cli.streams import finish_streams, prepare_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its exit code.

    Args:
        arguments: the arguments without the program's name. Default: those of this process.
    """
    prepare_streams()
    # Arrow's own allocator keeps memory that it once had: restoring a million datoms, the process peaked at
    # 159 MB, and with the system's allocator at 104 MB. Arrow chooses one when it is first loaded, later.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    program = _load()
    try:
        code = program(sys.argv[1:] if arguments is None else arguments)
    finally:
        finish_streams()
    sys.exit(code)


def _load() -> Callable[[Sequence[str]], int]:
    """Imports the program. Nothing is done before that, so Ctrl-C may simply end the process."""
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from asyncrestore.cli.app import program  # noqa: PLC0415 - the handler above goes first

    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)
    return program
