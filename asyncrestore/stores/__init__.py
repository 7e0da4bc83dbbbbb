"""Stores, opened by URI: a path or `file:///path`, or `memory:`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from asyncrestore.errors import UsageError
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore

if TYPE_CHECKING:
    from asyncrestore.stores.base import Store


def open_store(uri: str) -> Store:
    """Opens the store with that URI; it need not exist yet.

    Raises:
        UsageError: the scheme is not known, or the URI is malformed.
    """
    if not uri:
        raise UsageError("The store has no name", hint="Name a directory, such as ./backups")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", uri):
        return FilesystemStore(Path(uri).expanduser().absolute())
    if uri == MemoryStore.uri:
        return MemoryStore()
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return FilesystemStore(Path(unquote(parts.path)))
    raise UsageError(
        f"{uri!r} is not a store this program knows", hint="A store is a path, file:///path or memory:"
    )
