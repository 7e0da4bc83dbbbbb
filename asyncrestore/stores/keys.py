"""Keys for encrypted stores: given as bytes, or wrapped by a key service (AWS KMS)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from asyncrestore.errors import NotAuthorized
from asyncrestore.stores.cipher import ENCRYPTION_KEY_BYTES, Cipher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncrestore.stores.cipher import Header


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A symmetric key of AWS KMS, under which the keys of segments are wrapped.

    Attributes:
        id: its id, ARN or alias (`alias/NAME`); an ARN names its region, else the AWS environment does.
    """

    id: str


class Keys(Protocol):
    """The ciphers of a store."""

    async def for_writing(self) -> Cipher:
        """The cipher for new objects."""
        ...

    async def for_reading(self, header: Header) -> Cipher:
        """The cipher for an object.

        Raises:
            NotAuthorized: its key cannot be had.
        """
        ...


@asynccontextmanager
async def open_keys(encryption: bytes | KmsKey) -> AsyncIterator[Keys]:
    """The keys, for as long as the context lasts.

    Raises:
        UsageError: a key is not 32 bytes long, or a package is missing.
    """
    if isinstance(encryption, bytes):
        yield _OneKey(Cipher(encryption))
        return
    # The AWS client takes 0.2 s to load.
    from asyncrestore.stores.s3.kms import open_kms  # noqa: PLC0415

    async with open_kms(encryption.id) as service:
        yield _WrappedKeys(service)


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


class _WrappedKeys:
    """One new key for all that is written, wrapped in each object, so that none needs anything beside it."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._writing: Cipher | None = None
        self._reading: dict[bytes, Cipher] = {}
        self._asking = anyio.Lock()

    async def for_writing(self) -> Cipher:
        async with self._asking:
            if self._writing is None:
                self._writing = Cipher(*await self._service.new_key(ENCRYPTION_KEY_BYTES))
            return self._writing

    async def for_reading(self, header: Header) -> Cipher:
        if not header.wrapped:
            raise NotAuthorized(
                f"it is encrypted with the key {header.key_id.hex()}, not with one of a key service",
                hint="Give that key: --encryption-key-file or --encryption-key-command.",
            )
        async with self._asking:
            if header.wrapped not in self._reading:
                self._reading[header.wrapped] = Cipher(await self._service.unwrap(header.wrapped))
            return self._reading[header.wrapped]
