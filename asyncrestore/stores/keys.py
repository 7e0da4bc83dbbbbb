"""Keys of encrypted stores: given as bytes, or wrapped by a key service (AWS KMS)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from cachetools import LRUCache
from typing_extensions import override

from asyncrestore.errors import OtherKey
from asyncrestore.stores.cipher import ENCRYPTION_KEY_BYTES, Cipher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncrestore.stores.cipher import Header


CONTEXT = "asyncrestore:name"
"""Under this name a key service is told the backup's; its logs show it, and its policies can ask for it."""
KEPT = 64
"""Unwrapped keys that are remembered."""


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A symmetric key of AWS KMS, which wraps the keys of segments.

    Attributes:
        id: its id, ARN or alias (`alias/NAME`). The region is the ARN's, or else the AWS environment's.
    """

    id: str


class Keys(ABC):
    """The ciphers of a store."""

    @abstractmethod
    async def for_writing(self, name: str) -> Cipher:
        """Returns the cipher for new objects of the backup `name`."""

    @abstractmethod
    async def for_reading(self, header: Header, name: str) -> Cipher:
        """Returns the cipher for an object that has this header.

        Args:
            header: of the object.
            name: of its backup, to which a key service has bound the key, unless the object is an old one.

        Raises:
            OtherKey: its key is of another kind, or the key service has wrapped it with another one.
            NotAuthorized: the key service refuses the credentials.
        """


@asynccontextmanager
async def open_keys(encryption: bytes | KmsKey) -> AsyncIterator[Keys]:
    """Opens the ciphers of a store, for as long as the context lasts.

    Raises:
        UsageError: the key does not have 32 bytes, or a package is missing.
    """
    if isinstance(encryption, bytes):
        yield _OneKey(Cipher(encryption))
        return
    # The AWS client takes 0.2 s to load.
    from asyncrestore.stores.s3.kms import open_kms  # noqa: PLC0415

    async with open_kms(encryption.id) as service:
        yield WrappedKeys(service)


class _OneKey(Keys):
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    @override
    async def for_writing(self, _name: str) -> Cipher:
        return self._cipher

    @override
    async def for_reading(self, header: Header, _name: str) -> Cipher:
        if header.wrapped:
            raise OtherKey("it is encrypted with a key service's key", hint="Give that key: `KmsKey`.")
        return self._cipher


class WrappedKeys(Keys):
    """One new key for all that is written to a backup. Each object holds it wrapped, so nothing else is kept.

    A key is bound to the name of the backup, and to nothing else: a store is readable wherever it is copied.
    """

    def __init__(self, service: Any) -> None:
        self._service = service
        self._writing: dict[str, Cipher] = {}
        # Each run of a backup makes a key of its own, so there may be very many.
        self.reading: LRUCache[tuple[bytes, str], Cipher | OtherKey] = LRUCache(KEPT)
        self._asking = anyio.Lock()

    @override
    async def for_writing(self, name: str) -> Cipher:
        async with self._asking:
            if name not in self._writing:
                new = await self._service.new_key(ENCRYPTION_KEY_BYTES, {CONTEXT: name})
                self._writing[name] = Cipher(*new)
            return self._writing[name]

    @override
    async def for_reading(self, header: Header, name: str) -> Cipher:
        if not header.wrapped:
            raise OtherKey(
                f"it is encrypted with the key {header.key_id.hex()}, not with one of a key service",
                hint="Give that key: `encryption`.",
            )
        context = {CONTEXT: name} if header.knows_place else {}
        async with self._asking:
            found = self.reading.get((header.wrapped, name))
            if found is None:
                try:
                    found = Cipher(await self._service.unwrap(header.wrapped, context))
                except OtherKey as exc:  # for every segment of its run
                    found = exc
                self.reading[header.wrapped, name] = found
            if isinstance(found, OtherKey):
                raise OtherKey(str(found), hint=found.hint)
            return found
