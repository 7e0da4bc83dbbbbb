"""What a store must do: keep named, immutable objects, each published once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import quote, unquote

from asyncrestore.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class StoredObject:
    """An object in a store: its key within a backup, and its size in bytes."""

    key: str
    size: int


class Store(Protocol):
    """Where backups live: for each backup (a name) objects by key.

    Every method may raise `NotAuthorized`, `Unavailable` or `StoreFailed`.
    """

    @property
    def uri(self) -> str:
        """How it was opened, without secrets."""
        ...

    async def names(self) -> list[str]:
        """Names of the backups in it, sorted.

        Raises:
            NotFound: the store itself does not exist.
        """
        ...

    async def list(self, name: str) -> list[StoredObject]:
        """The finished objects of a backup, sorted by key; none when there is no such backup."""
        ...

    async def read(self, name: str, key: str) -> bytes:
        """The whole content of an object.

        Raises:
            NotFound: there is no such object.
            SegmentDamaged: what is there cannot be an object, such as a directory.
        """
        ...

    async def publish(self, name: str, key: str, data: bytes) -> bool:
        """Creates an object: durable and whole when this returns, and never seen half-written by anyone.

        Returns:
            False when there is an object under the key already; it is left as it is.
        """
        ...


@runtime_checkable
class ChecksUploads(Protocol):
    """A store whose server compares what arrives with a checksum, or should."""

    async def refuses_damage(self, name: str, key: str) -> bool:
        """Tries to create an object whose content does not match its checksum; whether that was refused."""
        ...


@runtime_checkable
class Deletes(Protocol):
    """A store that can delete, where its permissions allow it; backups never need that."""

    async def delete(self, name: str, key: str) -> None:
        """Deletes an object, for good when this returns; one that is not there is fine."""
        ...


def folder_of(name: str) -> str:
    """A backup's folder: its name with everything escaped that a file system or server could take amiss.

    Raises:
        UsageError: the name is no Unicode text.
    """
    try:
        escaped = quote(name, safe=" +,@=()[]{}")
    except UnicodeEncodeError as exc:
        raise UsageError(f"{name!r} is no name for a backup: it is not Unicode text") from exc
    return escaped.replace(".", "%2E") if set(escaped) <= {"."} else escaped


def name_of(folder: str) -> str | None:
    """The name whose folder that is, None for a folder that no backup has."""
    name = unquote(folder)
    # What is not ASCII is escaped, be it Unicode or the bytes of another encoding.
    return name if folder.isascii() and folder_of(name) == folder else None
