"""The standard streams as a command needs them, whatever it was started with."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def prepare_streams() -> None:
    """Makes each stream one that can be used, and stdout one that loses nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Closed: the next file to be opened would get its number, and be written to as the stream, or
            # closed by whoever ends it (libuv aborts then). The lowest free number is that of the stream.
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - it stays as long as the process
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        if isinstance(sys.stdout.buffer, io.RawIOBase):
            # PYTHONUNBUFFERED: a raw file writes as much as there is room for and drops the rest silently.
            encoding = sys.stdout.encoding
            sys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.detach()), encoding=encoding)
        # A value in a report that the terminal cannot show must not end a command that took hours.
        sys.stdout.reconfigure(errors="backslashreplace")
