"""A wrapper around a store that signs its objects: whoever lacks the key can read them, and not make them.

The MAC is HMAC-SHA256 of the backup's name, the object's key and its content. A segment holds it in its
metadata (see `seal`) and stays plain Parquet; any other object has it in a last line of its own.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from anyio import to_thread
from typing_extensions import override

from asyncrestore.errors import (
    OTHERWISE_PROTECTED,
    DamageError,
    OtherKey,
    SegmentDamaged,
    Unprotected,
    UsageError,
)
from asyncrestore.segments.seal import NO_MAC, is_sealed, mac_in, sealed, without_digits
from asyncrestore.stores.base import Authenticates, Deletes, Mixture, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncrestore.stores.base import StoredObject

SIGNING_KEY_BYTES = 32
_PARQUET = b"PAR1"
_ENCRYPTED = b"asyncrestore encrypted "
_SEGMENT = ".parquet"
_ID_DIGITS = 16
_LINE = re.compile(rb"\nasyncrestore\.mac ([0-9a-f]{80})\n\Z")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key to sign a store's objects with. It does not encrypt them.

    Attributes:
        key: 32 random bytes.

    Raises:
        UsageError: the key does not have 32 bytes.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != SIGNING_KEY_BYTES:
            raise UsageError(
                f"The signing key has {len(self.key)} bytes, not {SIGNING_KEY_BYTES}",
                hint="Make one: openssl rand -base64 32",
            )


class SignedStore(Store, Authenticates):
    """A store that signs what is published, and refuses to read what is not signed.

    Args:
        store: keeps the signed objects.
        key: to sign with.
        plain_too: also read objects that are not signed.
    """

    def __init__(self, store: Store, key: SigningKey, *, plain_too: bool = False) -> None:
        self._store = store
        self._key = hmac.digest(key.key, b"asyncrestore signing", "sha256")
        self._id = hmac.digest(key.key, b"asyncrestore signing key id", "sha256").hex()[:_ID_DIGITS].encode()
        self._plain_too = plain_too
        self._mixture = Mixture("signed")
        self.uri = store.uri

    @override
    async def names(self) -> list[str]:
        return await self._store.names()

    @override
    async def list(self, name: str) -> list[StoredObject]:
        return await self._store.list(name)

    @override
    def remarks(self) -> Sequence[str]:
        return self._mixture.remarks()

    @override
    async def read(self, name: str, key: str) -> bytes:
        """See `Store`.

        Raises:
            OtherKey: it is signed with another key, or encrypted.
            SegmentDamaged: it is not what was signed, or not for this place.
            Unprotected: it is not signed.
        """
        data = await self._store.read(name, key)
        try:
            return await to_thread.run_sync(self._checked, data, name, key)
        except (DamageError, *OTHERWISE_PROTECTED) as exc:
            where = "/".join((self.uri.rstrip("/"), name, key))
            damaged = " is damaged" if isinstance(exc, DamageError) else ""
            raise type(exc)(f"{where}{damaged}: {exc}", hint=exc.hint) from exc

    def _checked(self, data: bytes, name: str, key: str) -> bytes:
        """Returns the content of an object, without a MAC in a line of its own."""
        content, digits = data, mac_in(data)
        if not data.startswith(_PARQUET):
            line = _LINE.search(data)
            content, digits = (data[: line.start()], line[1]) if line else (data, None)
        pieces = without_digits(data) if data.startswith(_PARQUET) else [content]
        if digits and hmac.compare_digest(digits, self._mac(pieces, name, key)):
            self._mixture.protected.add(f"{name}/{key}")
            return content
        if self._plain_too and digits in {None, NO_MAC}:
            self._mixture.plain.add(f"{name}/{key}")
            return data
        return self._refuse(data, digits, f"{name}/{key}")

    def _refuse(self, data: bytes, digits: bytes | None, place: str) -> NoReturn:
        """Raises why an object cannot be trusted: damage first, for it may look like the rest."""
        if data.startswith(_ENCRYPTED):
            raise OtherKey("it is encrypted, and a signing key was given", hint="Give its own key.")
        if place.endswith(_SEGMENT) and not is_sealed(data):
            raise SegmentDamaged("it does not have the SHA-256 that it says")
        if digits is None or digits == NO_MAC:
            raise Unprotected(
                "it is not signed, and a signing key was given",
                hint="Give no key for a backup that is not signed; `asyncrestore copy` with the key makes a "
                "signed copy of it.",
            )
        if not digits.startswith(self._id):
            raise OtherKey(
                f"it is signed with another key ({digits[:_ID_DIGITS].decode()}) than the one given "
                f"({self._id.decode()})",
                hint="Give the key that it was signed with.",
            )
        raise SegmentDamaged(
            f"it is not what was signed, or not for this place ({place})",
            hint="If the backup was renamed by hand, give it its old name again, and copy it to the new one "
            "(copy with `as_name`). Else run repair with the source.",
        )

    @override
    async def publish(self, name: str, key: str, data: bytes) -> bool:
        """See `Store`.

        Raises:
            UsageError: it is a segment without a place for a MAC.
        """
        return await self._store.publish(name, key, await to_thread.run_sync(self._signed, data, name, key))

    def _signed(self, data: bytes, name: str, key: str) -> bytes:
        if not data.startswith(_PARQUET):
            return data + b"\nasyncrestore.mac " + self._mac([data], name, key) + b"\n"
        if mac_in(data) is None:
            raise UsageError(
                f"{name}/{key} was written by an older version, and has no place for a signature"
            )
        return sealed(data, self._mac(without_digits(data), name, key))

    def _mac(self, pieces: Iterable[bytes | memoryview], name: str, key: str) -> bytes:
        """Returns the digits of a MAC: of the key's id, and of the MAC itself."""
        made = hmac.new(self._key, digestmod="sha256")
        for text in (name, key):
            encoded = text.encode("utf-8", "surrogatepass")
            made.update(len(encoded).to_bytes(8) + encoded)
        for piece in pieces:
            made.update(piece)
        return self._id + made.hexdigest().encode()


class DeletingSignedStore(SignedStore, Deletes):
    """A signed store around one that can delete."""

    _store: Deletes

    @override
    async def delete(self, name: str, key: str) -> None:
        await self._store.delete(name, key)
