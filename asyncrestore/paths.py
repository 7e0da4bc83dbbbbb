"""Paths as people give them."""

from __future__ import annotations

from pathlib import Path

from asyncrestore.errors import NotFound, UsageError


def absolute(text: str) -> Path:
    """The path without `~` and the working directory in it.

    Raises:
        UsageError: there is no such home directory. NotFound: the working directory is gone.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as exc:
        raise UsageError(f"{text!r}: {exc}", hint="Name the directory without ~, or set HOME.") from exc
    except FileNotFoundError as exc:
        raise NotFound(
            f"{text!r} is relative to the working directory, which does not exist any more",
            hint="Change to a directory that does, or name it from the root on.",
        ) from exc
