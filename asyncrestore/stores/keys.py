"""Keys of encrypted stores: given as bytes, or wrapped by a key service (AWS KMS)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from cachetools import LRUCache

from asyncrestore.errors import NotAuthorized
from asyncrestore.stores.cipher import ENCRYPTION_KEY_BYTES, Cipher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncrestore.stores.cipher import Header


KEPT = 64
"""Unwrapped keys that are remembered."""


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A symmetric key of AWS KMS, which wraps the keys of segments.

    Attributes:
        id: its id, ARN or alias (`alias/NAME`). The region is the ARN's, or else the AWS environment's.
    """

    id: str


class Keys(Protocol):
    """The ciphers of a store."""

    async def for_writing(self) -> Cipher:
        """Returns the cipher for new objects."""
        ...

    async def for_reading(self, header: Header) -> Cipher:
        """Returns the cipher for an object that has this header.

        Raises:
            NotAuthorized: its key is of another kind, or the key service refuses to unwrap it.
        """
        ...


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


class _OneKey:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def for_writing(self) -> Cipher:
        return self._cipher

    async def for_reading(self, header: Header) -> Cipher:
        if header.wrapped:
            raise NotAuthorized(
                "it is encrypted with a key service's key", hint="Give that key: --encryption-kms-key."
            )
        return self._cipher


class WrappedKeys:
    """One new key for all that is written. Each object holds it wrapped, so nothing else must be kept."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._writing: Cipher | None = None
        # Each run of a backup makes a key of its own, so there may be very many.
        self.reading: LRUCache[bytes, Cipher] = LRUCache(KEPT)
        self._asking = anyio.Lock()

    async def for_writing(self) -> Cipher:
        """See `Keys`."""
        async with self._asking:
            if self._writing is None:
                self._writing = Cipher(*await self._service.new_key(ENCRYPTION_KEY_BYTES))
            return self._writing

    async def for_reading(self, header: Header) -> Cipher:
        """See `Keys`."""
        if not header.wrapped:
            raise NotAuthorized(
                f"it is encrypted with the key {header.key_id.hex()}, not with one of a key service",
                hint="Give that key: --encryption-key-file or --encryption-key-command.",
            )
        async with self._asking:
            cipher = self.reading.get(header.wrapped)
            if cipher is None:
                cipher = Cipher(await self._service.unwrap(header.wrapped))
                self.reading[header.wrapped] = cipher
            return cipher
