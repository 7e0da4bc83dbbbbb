"""A wrapper around a store that encrypts its objects: the store itself sees only encrypted ones."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread
from typing_extensions import override

from asyncrestore.errors import DamageError, NotAuthorized, SegmentDamaged, Unprotected, UsageError
from asyncrestore.stores.base import Authenticates, Deletes, Mixture, Store
from asyncrestore.stores.cipher import read_header
from asyncrestore.stores.keys import KmsKey, open_keys
from asyncrestore.stores.signed import DeletingSignedStore, SignedStore, SigningKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from asyncrestore.stores.base import StoredObject
    from asyncrestore.stores.keys import Keys

Encryption = bytes | KmsKey | SigningKey
"""A key of 32 bytes, or one of AWS KMS, to encrypt with; or one to sign with, which does not encrypt."""
_PARQUET = b"PAR1"


@asynccontextmanager
async def encrypted(
    store: Store, encryption: Encryption | None, *, plain_too: bool = False
) -> AsyncIterator[Store]:
    """Wraps a store in encryption for as long as the context lasts; without `encryption` it is left as it is.

    Args:
        store: keeps the encrypted objects.
        encryption: the key. With a `SigningKey` the objects are signed, not encrypted.
        plain_too: also read objects that are not encrypted, or not signed; otherwise they are refused.

    Raises:
        UsageError: the key does not have 32 bytes, or a package is missing.
    """
    if encryption is None:
        yield store
        return
    if isinstance(encryption, SigningKey):
        sign = DeletingSignedStore if isinstance(store, Deletes) else SignedStore
        yield sign(store, encryption, plain_too=plain_too)
        return
    if not isinstance(encryption, bytes | KmsKey):
        raise UsageError("encryption must be 32 bytes, a KmsKey or a SigningKey")
    async with open_keys(encryption) as keys:
        kind = DeletingEncryptedStore if isinstance(store, Deletes) else EncryptedStore
        yield kind(store, keys, plain_too=plain_too)


class EncryptedStore(Store, Authenticates):
    """A store that encrypts what is published and decrypts what is read.

    Names and sizes are those of the encrypted objects.
    """

    def __init__(self, store: Store, keys: Keys, *, plain_too: bool = False) -> None:
        self._store = store
        self._keys = keys
        self._plain_too = plain_too
        self._old: set[tuple[str, str]] = set()
        self._mixture = Mixture("encrypted")
        self.uri = store.uri

    @override
    async def names(self) -> list[str]:
        return await self._store.names()

    @override
    async def list(self, name: str) -> list[StoredObject]:
        return await self._store.list(name)

    @override
    async def read(self, name: str, key: str) -> bytes:
        """See `Store`.

        Raises:
            OtherKey: it is encrypted with another key.
            NotAuthorized: the key service refuses the credentials.
            SegmentDamaged: it is not what was written.
            Unprotected: it is not encrypted.
        """
        data = await self._store.read(name, key)
        try:
            return await self._decrypt(data, name, key)
        except (DamageError, NotAuthorized, Unprotected) as exc:
            where = "/".join((self.uri.rstrip("/"), name, key))
            damaged = " is damaged" if isinstance(exc, DamageError) else ""
            raise type(exc)(f"{where}{damaged}: {exc}", hint=exc.hint) from exc

    @override
    def remarks(self) -> Sequence[str]:
        if self._plain_too:
            return self._mixture.remarks()
        if not self._old:
            return []
        several = f"{len(self._old):,} objects were" if len(self._old) > 1 else "1 object was"
        note = f"{several} encrypted by an older version: nothing shows whether they lie where they were "
        return [note + "written. `asyncrestore copy` makes new ones of them"]

    async def _decrypt(self, data: bytes, name: str, key: str) -> bytes:
        header = await to_thread.run_sync(read_header, data)
        if header is not None:
            cipher = await self._keys.for_reading(header, name)
            if not header.knows_place:
                self._old.add((name, key))
            self._mixture.protected.add(f"{name}/{key}")
            return await to_thread.run_sync(cipher.decrypt, data, header, name, key)
        if self._plain_too:
            self._mixture.plain.add(f"{name}/{key}")
            return data
        if data.startswith(_PARQUET):
            raise Unprotected(
                "it is not encrypted, and a key was given",
                hint="Give no key for a backup that is not encrypted; `asyncrestore copy` with the key "
                "makes an encrypted copy of it.",
            )
        raise SegmentDamaged("it is not an encrypted object")

    @override
    async def publish(self, name: str, key: str, data: bytes) -> bool:
        cipher = await self._keys.for_writing(name)
        encrypted = await to_thread.run_sync(cipher.encrypt, data, name, key)
        return await self._store.publish(name, key, encrypted)


class DeletingEncryptedStore(EncryptedStore, Deletes):
    """An encrypted store around one that can delete."""

    _store: Deletes

    @override
    async def delete(self, name: str, key: str) -> None:
        await self._store.delete(name, key)
