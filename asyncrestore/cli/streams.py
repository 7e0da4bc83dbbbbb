"""Makes the standard streams usable, whatever the command was started with, and ends them."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def prepare_streams() -> None:
    """Replaces closed streams, and makes stdout lose nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Closed. The next file to be opened gets the stream's number, which is the lowest free one. If
            # that were another file, it would be written to as the stream, or be closed with it (libuv aborts
            # then).
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - it stays open as long as the process
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        if isinstance(sys.stdout.buffer, io.RawIOBase):
            # PYTHONUNBUFFERED: a raw file writes as much as fits, and silently drops the rest.
            encoding = sys.stdout.encoding
            sys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.detach()), encoding=encoding)
        # A value that the terminal cannot show must not end a command that took hours.
        sys.stdout.reconfigure(errors="backslashreplace")


def finish_streams() -> None:
    """Writes what the streams still hold, and drops what cannot be written: that was reported before.

    Python writes it too when it ends. If that fails, it exits with 120 and not with the command's code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
