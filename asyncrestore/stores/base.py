"""What a store offers: it keeps named, immutable objects, each published once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from asyncrestore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, order=True)
class StoredObject:
    """An object in a store.

    Attributes:
        key: its name within its backup.
        size: how many bytes it has there. Encryption and signatures make that more than its content has.
    """

    key: str
    size: int


class Store(ABC):
    """Keeps backups: each is a name, with objects by key.

    Every method may raise `NotAuthorized`, `Unavailable` or `StoreFailed`.

    Attributes:
        uri: the URI that it was opened with, without secrets.
    """

    uri: str

    @abstractmethod
    async def names(self) -> list[str]:
        """Returns the names of the backups in it, sorted.

        Raises:
            NotFound: the store itself does not exist.
        """

    @abstractmethod
    async def list(self, name: str) -> list[StoredObject]:
        """Returns the finished objects of a backup, sorted by key; no objects if there is no such backup."""

    @abstractmethod
    async def read(self, name: str, key: str) -> bytes:
        """Returns the whole content of an object.

        Raises:
            NotFound: there is no such object.
            SegmentDamaged: something else has the object's place, such as a directory; or the object is
                larger than `limits.object_limit()`, of which it is not read further.
        """

    @abstractmethod
    async def publish(self, name: str, key: str, data: bytes) -> bool:
        """Creates an object, which is durable when this returns. Nobody ever sees it half-written.

        Returns:
            False if the key has an object already, which is left as it is.
        """


class ChecksUploads(Store):
    """A store whose server should compare what arrives with a checksum."""

    @abstractmethod
    async def refuses_damage(self, name: str, key: str) -> bool:
        """Tries to create an object that does not match its checksum. Returns whether it was refused."""


class Deletes(Store):
    """A store that can delete, where its permissions allow it; backups never need that."""

    @abstractmethod
    async def delete(self, name: str, key: str) -> None:
        """Deletes an object durably. Does nothing if there is no such object."""


class Authenticates(ABC):
    """A store that tells what somebody with its key wrote from what anybody else did."""

    @abstractmethod
    def remarks(self) -> Sequence[str]:
        """Returns what is less authentic than it could be, among what was read so far."""


class Mixture:
    """Which objects were read that a key protects, and which that none does.

    Args:
        how: "encrypted" or "signed".
    """

    def __init__(self, how: str) -> None:
        self._how = how
        self.protected: set[str] = set()
        self.plain: set[str] = set()

    def remarks(self) -> list[str]:
        """Names what nobody with the key may have made, beside what somebody with it did."""
        if not (self.protected and self.plain):
            return []
        found = ", ".join(sorted(self.plain))
        return [f"not {self._how}, unlike the others, so whoever can write there may have made it: {found}"]


def folder_of(name: str) -> str:
    """Returns a backup's folder: its name, with escapes for all that a file system or server may refuse.

    Raises:
        UsageError: the name is not Unicode text.
    """
    try:
        escaped = quote(name, safe=" +,@=()[]{}")
    except UnicodeEncodeError as exc:
        raise UsageError(f"{name!r} cannot be a backup's name: it is not Unicode text") from exc
    return escaped.replace(".", "%2E") if set(escaped) <= {"."} else escaped


def name_of(folder: str) -> str | None:
    """Returns the name of the backup that has this folder, None if no backup can have it."""
    name = unquote(folder)
    # `folder_of` escapes all that is not ASCII, Unicode and the bytes of other encodings alike.
    return name if folder.isascii() and folder_of(name) == folder else None
