"""Reads files that hold a secret, and warns of those that others may read."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import click

from asyncrestore.cli.options import Settings
from asyncrestore.cli.output import send_logs
from asyncrestore.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS_READ = 0o044
# Base64 or hexadecimal: the key itself, given in the place of its file.
_KEY = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/_-]{40,}=*|[0-9a-fA-F]{32,}")
logger = logging.getLogger(__name__)


def read_secret(path: Path, what: str, *, warn: bool = True) -> bytes:
    """Returns the content of a file that holds a secret.

    Args:
        path: of the file.
        what: what it holds, for messages: "the encryption key".
        warn: whether to warn if others than its owner may read it.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        given = _KEY.fullmatch(str(path))
        raise UsageError(
            f"The file with {what} cannot be read: {'...' if given else path}: {exc.strerror}",
            hint="Name a file that holds it, rather than giving the secret itself." if given else "",
        ) from (None if given else exc)
    if warn:
        warn_of_readers(path)
    return content


def warn_of_readers(path: Path) -> None:
    """Warns if others than its owner may read a file. Containers mount secrets so, so it is not refused."""
    if path.stat().st_mode & _OTHERS_READ:
        # The command's own output is not there yet.
        send_logs(click.get_current_context().ensure_object(Settings))
        logger.warning("%s holds a secret, and others may read it: chmod 600 %s", path, path)
