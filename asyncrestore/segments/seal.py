"""The digest and the MAC in a segment's file: where their digits are, and how they are made.

Both are metadata of the Parquet file with a fixed size, so their digits can be set once the file is written:

    asyncrestore.sha256    64 digits: SHA-256 of the file, with these digits set to 0
    asyncrestore.mac       80 digits: 16 of the key's id and 64 of the MAC; all 0 in a file that is not signed

The MAC is of the file with the digits of both set to 0, so the digest can be made anew after it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST_KEY = b"asyncrestore.sha256"
MAC_KEY = b"asyncrestore.mac"
NO_DIGEST = b"0" * 64
NO_MAC = b"0" * 80
_MAC_DIGITS = re.compile(rb"[0-9a-f]{80}")
_THRIFT_BYTES = 2
"""Type and length, between a key and its value."""


def digits_of(data: bytes | bytearray, key: bytes, size: int) -> slice | None:
    """Returns where the digits under a key of the metadata are; None if there are none."""
    at = data.rfind(key)
    start = at + len(key) + _THRIFT_BYTES
    return slice(start, start + size) if at >= 0 and start + size <= len(data) else None


def mac_in(data: bytes) -> bytes | None:
    """Returns the digits of a file's MAC, zeros where it is not signed; None if it has no place for them."""
    place = digits_of(data, MAC_KEY, len(NO_MAC))
    digits = None if place is None else data[place]
    return digits if digits is not None and _MAC_DIGITS.fullmatch(digits) else None


def digest(data: bytes | bytearray, place: slice) -> bytes:
    """Returns the digits of the SHA-256 of a file.

    Args:
        data: of the file.
        place: where its digest is.
    """
    made = hashlib.sha256(memoryview(data)[: place.start])
    made.update(NO_DIGEST)
    made.update(memoryview(data)[place.stop :])
    return made.hexdigest().encode("ascii")


def is_sealed(data: bytes) -> bool:
    """Returns whether a file has the digest that it says."""
    place = digits_of(data, DIGEST_KEY, len(NO_DIGEST))
    return place is not None and data[place] == digest(data, place)


def without_digits(data: bytes) -> Iterator[bytes | memoryview]:
    """Yields a file in pieces, with the digits of its digest and its MAC set to 0."""
    places = [digits_of(data, DIGEST_KEY, len(NO_DIGEST)), digits_of(data, MAC_KEY, len(NO_MAC))]
    position = 0
    for place in sorted((each for each in places if each), key=lambda each: each.start):
        yield memoryview(data)[position : place.start]
        yield b"0" * (place.stop - place.start)
        position = place.stop
    yield memoryview(data)[position:]


def sealed(data: bytes | bytearray, mac: bytes = NO_MAC) -> bytes:
    """Returns a file with its MAC, if it has a place for one, and with its digest.

    Raises:
        ValueError: it has no place for a digest.
    """
    done = bytearray(data)
    mac_place = digits_of(done, MAC_KEY, len(NO_MAC))
    if mac_place is not None:
        done[mac_place] = mac
    place = digits_of(done, DIGEST_KEY, len(NO_DIGEST))
    if place is None:
        raise ValueError("it has no digest")
    done[place] = digest(done, place)
    return bytes(done)
