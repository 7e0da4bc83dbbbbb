"""Datomic's values as they travel: a kind (one letter) and an integer, a text or, for a tuple, its slots.

Nothing between source and target needs a value's meaning, so none is decoded on the way: a double goes as its
64 bits, a float as its 32, an instant as milliseconds since 1970, a decimal as text with its scale. That is
lossless, and two values are equal exactly when kind and raw form are (NaN equals itself, -0.0 differs from
0.0, 1.0M from 1.00M).

The letters are the same in `jvm/asyncrestore/values.clj`.
"""

from __future__ import annotations

import base64
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Raw: TypeAlias = int | str | tuple[Any, ...]

KINDS = {
    "b": "boolean",
    "l": "long",
    "r": "ref",
    "d": "double",
    "f": "float",
    "i": "instant",
    "s": "string",
    "k": "keyword",
    "y": "symbol",
    "u": "uuid",
    "o": "uri",
    "n": "bigint",
    "m": "bigdec",
    "x": "bytes",
    "t": "tuple",
    "c": "fn",
}
NUMERIC_KINDS = frozenset("blrdfi")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Keyword:
    """A Datomic keyword; `name` is without the colon, as in ``artist/name``."""

    name: str

    def __str__(self) -> str:
        return ":" + self.name


@dataclass(frozen=True, slots=True)
class Symbol:
    """A Datomic symbol."""

    name: str


@dataclass(frozen=True, slots=True)
class Uri:
    """A Datomic URI, as text: Java's and Python's parsers differ in what they accept."""

    text: str


def _instant(ms: int) -> datetime | int:
    """An instant as datetime, or as milliseconds where datetime has no such year."""
    try:
        return EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return ms


def _tuple(slots: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if slot is None else to_python(slot[0], slot[1]) for slot in slots)


def double_from_bits(bits: int) -> float:
    """The double whose IEEE 754 bits are the signed 64-bit `bits`."""
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value


def float_from_bits(bits: int) -> float:
    """The 32-bit float whose IEEE 754 bits are the signed 32-bit `bits`."""
    value: float = struct.unpack("<f", struct.pack("<i", bits))[0]
    return value


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "b": bool,
    "l": int,
    "r": int,
    "d": double_from_bits,
    "f": float_from_bits,
    "i": _instant,
    "s": str,
    "k": Keyword,
    "y": Symbol,
    "u": uuid.UUID,
    "o": Uri,
    "n": int,
    "m": Decimal,
    "x": base64.b64decode,
    "t": _tuple,
    "c": str,
}


def to_python(kind: str, raw: Raw) -> Any:
    """The Python value for a kind and its raw form, for people and programs that look at data."""
    return _DECODERS[kind](raw)
