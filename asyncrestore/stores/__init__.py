"""Stores, opened by URI: a path or `file:///path?mode=640`, `s3://bucket/prefix`, or `memory:`."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from asyncrestore.errors import UsageError
from asyncrestore.paths import absolute
from asyncrestore.redact import redacted_uri
from asyncrestore.stores.encrypted import encrypted
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.s3.uri import parse_s3_uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

_KINDS = "A store is a path, file:///path, s3://bucket/prefix or memory:"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_MODE = re.compile(r"mode=0?(6[0246][0246])")


@asynccontextmanager
async def open_store(
    uri: str | PathLike[str], *, encryption: Encryption | None = None
) -> AsyncIterator[Store]:
    """Opens the store with that URI for as long as the context lasts; it need not exist yet.

    Args:
        uri: of the store, or the path of a directory.
        encryption: a key of 32 bytes or a `KmsKey`. Published objects are encrypted with it; what is read
            must be encrypted. With a `SigningKey` they are signed in the same way.

    Raises:
        UsageError: the scheme is not known, the URI is malformed, the key does not have 32 bytes, or a
            package is missing.
    """
    async with _open(uri) as store, encrypted(store, encryption) as opened:
        yield opened


@asynccontextmanager
async def _open(uri: str | PathLike[str]) -> AsyncIterator[Store]:
    if isinstance(uri, PathLike):
        yield FilesystemStore(absolute(fspath(uri)))
        return
    scheme = _SCHEME.match(uri)
    opener = _OPENERS.get(scheme[1].lower()) if scheme else _open_directory
    if opener is None:
        raise _unknown(uri)
    async with opener(uri) as store:
        yield store


def _unknown(uri: str) -> UsageError:
    shown = redacted_uri(uri)
    try:
        urlsplit(uri)
    except ValueError:  # such as a bracket that is never closed; its text may have a password in it
        return UsageError(f"{shown!r} is not a URI", hint=_KINDS)
    return UsageError(f"{shown!r} is not a store this program knows", hint=_KINDS)


@asynccontextmanager
async def _open_directory(path: str) -> AsyncIterator[Store]:
    """Opens what is written without a scheme."""
    if not path:
        raise UsageError("The store has no name", hint="Name a directory, such as ./backups")
    shown = redacted_uri(path)
    if shown != path and not path.startswith(("/", ".", "~")):
        raise UsageError(
            f"{shown!r} has a user and a password in it, as a URI, but it begins with no scheme",
            hint=f"{_KINDS}. Begin the path of a directory of that name with ./",
        )
    yield FilesystemStore(absolute(path))


@asynccontextmanager
async def _open_file(uri: str) -> AsyncIterator[Store]:
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _unknown(uri) from None
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise _unknown(uri)
    path = Path(unquote(parts.path))
    if not parts.query and not parts.fragment:
        yield FilesystemStore(path)
        return
    mode = _MODE.fullmatch(parts.query)
    if mode is None or parts.fragment:
        raise UsageError(
            f"{redacted_uri(uri)!r} has a question mark or a hash in its path, or an option that is not "
            "mode=640",
            hint="Write %3F and %23 for them in a URI. The mode is of new files, in octal, from 600 to 666.",
        )
    yield FilesystemStore(path, mode=int(mode[1], 8))


@asynccontextmanager
async def _open_memory(uri: str) -> AsyncIterator[Store]:
    if uri != MemoryStore.uri:
        raise _unknown(uri)
    yield MemoryStore()


@asynccontextmanager
async def _open_s3(uri: str) -> AsyncIterator[Store]:
    if not uri.startswith("s3://"):
        raise _unknown(uri)
    place = parse_s3_uri(uri)
    # The AWS client takes 0.2 s to load; other stores need not wait for it.
    from asyncrestore.stores.s3.client import open_s3  # noqa: PLC0415

    async with open_s3(place) as store:
        yield store


_OPENERS: dict[str, Callable[[str], AbstractAsyncContextManager[Store]]] = {
    "file": _open_file,
    "memory": _open_memory,
    "s3": _open_s3,
}
"""The stores: what opens a URI, by its scheme. What has no scheme is a directory."""
