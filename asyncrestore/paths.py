"""Paths as users give them."""

from __future__ import annotations

from pathlib import Path

from asyncrestore.errors import NotFound, UsageError


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
