"""Encrypted objects: AES-256-SIV (RFC 5297), so that the same content under the same key is the same bytes.

    magic · length of the wrapped key (2 bytes) · wrapped key · key id (8) · encrypted content (+16) · SHA-256

The SHA-256 is of all bytes before it: without the key, damage can still be told from encryption with another
key. The encryption has no random part, so two backups can write the same objects, and a rerun sees that
nothing is new. It reveals only that two objects are equal, which their names say already.

The name of the backup and the object's key are authenticated too, since version 2: an object that was moved
does not decrypt. Objects of version 1 are read as before; a segment among them has no id of its backup.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.errors import NewerFormat, OtherKey, SegmentDamaged, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

ENCRYPTION_KEY_BYTES = 32
_NAME = b"asyncrestore encrypted "
_MAGIC = _NAME + b"2\n"
_OLD_MAGIC = _NAME + b"1\n"
_ID_BYTES = 8
_DIGEST_BYTES = 32
_MOVED = (
    "If the backup was renamed by hand, give it its old name again, and copy it to the new one (copy "
    "with `as_name`). Else run repair with the source."
)
_GIVE_KEY = "Give the key that it was written with: docs/encryption.md."


@dataclass(frozen=True, slots=True)
class Header:
    """The part of an encrypted object that can be read without its key.

    Attributes:
        key_id: identifies the key and reveals nothing about it.
        wrapped: the key, encrypted by a key service; empty if no key service is involved.
        size: of the header, in bytes.
        knows_place: whether the object's name and key are authenticated.
    """

    key_id: bytes
    wrapped: bytes
    size: int
    knows_place: bool


class Cipher:
    """Encrypts and decrypts with one key.

    Args:
        key: 32 random bytes.
        wrapped: the same key encrypted by a key service, to be kept in each object.

    Raises:
        UsageError: the key does not have 32 bytes, or the package cryptography is missing.
    """

    def __init__(self, key: bytes, wrapped: bytes = b"") -> None:
        if len(key) != ENCRYPTION_KEY_BYTES:
            raise UsageError(
                f"The encryption key has {len(key)} bytes, not {ENCRYPTION_KEY_BYTES}",
                hint="Make one: openssl rand -base64 32",
            )
        self.key_id = hmac.digest(key, b"asyncrestore key id", "sha256")[:_ID_BYTES]
        self._siv = _siv(hmac.digest(key, b"asyncrestore AES-256-SIV", "sha512"))
        self._header = _MAGIC + len(wrapped).to_bytes(2) + wrapped + self.key_id

    def encrypt(self, content: bytes, name: str, key: str) -> bytes:
        """Returns the object that holds the content.

        Args:
            content: of the object.
            name: of its backup.
            key: its own.
        """
        data = self._header + self._siv.encrypt(content, [self._header, *_place(name, key)])
        return data + hashlib.sha256(data).digest()

    def decrypt(self, data: bytes, header: Header, name: str, key: str) -> bytes:
        """Returns the content of an object.

        Args:
            data: the object.
            header: of it (see `read_header`).
            name: of its backup.
            key: its own.

        Raises:
            OtherKey: it was encrypted with another key.
            SegmentDamaged: it names this key, but was not encrypted with it, or not for this place.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

        if header.key_id != self.key_id:
            raise OtherKey(
                f"it is encrypted with another key ({header.key_id.hex()}) than the one given "
                f"({self.key_id.hex()})",
                hint=_GIVE_KEY,
            )
        encrypted = memoryview(data)[header.size : -_DIGEST_BYTES]
        try:
            place = _place(name, key) if header.knows_place else []
            return self._siv.decrypt(encrypted, [data[: header.size], *place])
        except InvalidTag:
            raise SegmentDamaged(
                f"it was not written with the key that it names, or not for this place ({name}/{key})",
                hint=_MOVED if header.knows_place else "",
            ) from None


def _place(name: str, key: str) -> list[bytes]:
    return [name.encode("utf-8", "surrogatepass"), key.encode("utf-8", "surrogatepass")]


def _siv(key: bytes) -> AESSIV:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise UsageError(
            "Encryption needs the package cryptography", hint="pip install 'asyncrestore[encrypt]'"
        ) from exc
    return AESSIV(key)


def read_header(data: bytes) -> Header | None:
    """Returns an object's header, None if it is not encrypted.

    Raises:
        SegmentDamaged: it is not what was written.
        NewerFormat: it is whole, but only a newer version of this program can read it.
    """
    if not data.startswith(_NAME):
        return None
    expected, actual = data[-_DIGEST_BYTES:], hashlib.sha256(memoryview(data)[:-_DIGEST_BYTES]).digest()
    if expected != actual:
        raise SegmentDamaged(f"its SHA-256 is {actual.hex()}, it should be {expected.hex()}")
    if not data.startswith((_MAGIC, _OLD_MAGIC)):
        raise NewerFormat(
            "its encryption is of a version that this program does not know",
            hint="Use a newer asyncrestore.",
        )
    start = len(_MAGIC) + 2
    size = start + int.from_bytes(data[len(_MAGIC) : start]) + _ID_BYTES
    if size + _DIGEST_BYTES > len(data):
        raise SegmentDamaged("it is encrypted, and its header is cut off")
    knows_place = data.startswith(_MAGIC)
    return Header(data[size - _ID_BYTES : size], data[start : size - _ID_BYTES], size, knows_place)


def refuse_encrypted(data: bytes, where: str) -> None:
    """Makes sure that an object, which was read at `where`, can be read without a key.

    Raises:
        OtherKey: it is encrypted.
        SegmentDamaged: it is encrypted, and damaged.
        NewerFormat: it is encrypted, in a way that only a newer version of this program can read.
    """
    header = read_header(data)
    if header is not None:
        by = "a key service's key" if header.wrapped else f"the key {header.key_id.hex()}"
        raise OtherKey(f"{where}: it is encrypted with {by}, and no key was given", hint=_GIVE_KEY)
