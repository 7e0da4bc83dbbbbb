"""Paths as users give them, and what is there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from asyncrestore.errors import NotFound, UsageError

if TYPE_CHECKING:
    import os


def absolute(text: str) -> Path:
    """Returns the absolute path, with `~` replaced by the home directory.

    Raises:
        UsageError: there is no such home directory.
        NotFound: the path is relative and the working directory is gone.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as exc:
        raise UsageError(f"{text!r}: {exc}", hint="Name the directory without ~, or set HOME.") from exc
    except FileNotFoundError as exc:
        raise NotFound(
            f"{text!r} is relative to the working directory, which does not exist any more",
            hint="Change to a directory that exists, or give an absolute path.",
        ) from exc


def status(path: Path) -> os.stat_result | None:
    """Returns what the file system knows of a file or directory, links followed; None if there is none.

    `Path.exists`, `is_dir` and `is_file` take some errors for "none", from Python 3.14 on all of them.

    Raises:
        OSError: it cannot be told whether there is one.
    """
    try:
        return path.stat()
    except OSError as exc:
        if exc.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return None
        raise
