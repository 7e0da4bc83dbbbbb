"""Datomic's values in raw form: a kind (one letter) and an integer, a text or, for a tuple, its slots.

Nothing between source and target needs a value's meaning, so values are not decoded on the way: a double
travels as its 64 bits, a float as its 32 bits, an instant as milliseconds since 1970, a decimal as text with
its scale. That is lossless, and two values are equal exactly when kind and raw form are (NaN equals itself,
-0.0 differs from 0.0, 1.0M from 1.00M).

The letters are the same in `jvm/asyncrestore/values.clj`.
"""

from __future__ import annotations

import base64
import re
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

Raw: TypeAlias = int | str | tuple[Any, ...]

BOOLEAN, LONG, REF, DOUBLE, FLOAT, INSTANT = "b", "l", "r", "d", "f", "i"
STRING, KEYWORD, SYMBOL, UUID, URI = "s", "k", "y", "u", "o"
BIGINT, BIGDEC, BYTES, TUPLE, FUNCTION = "n", "m", "x", "t", "c"

KINDS = {
    BOOLEAN: "boolean",
    LONG: "long",
    REF: "ref",
    DOUBLE: "double",
    FLOAT: "float",
    INSTANT: "instant",
    STRING: "string",
    KEYWORD: "keyword",
    SYMBOL: "symbol",
    UUID: "uuid",
    URI: "uri",
    BIGINT: "bigint",
    BIGDEC: "bigdec",
    BYTES: "bytes",
    TUPLE: "tuple",
    FUNCTION: "fn",
}
NUMERIC_KINDS = frozenset({BOOLEAN, LONG, REF, DOUBLE, FLOAT, INSTANT})
"""The kinds whose raw form is an integer."""

REFERRING_KINDS = frozenset({REF, TUPLE})
"""The kinds whose raw form can have entity ids in it."""

KIND_OF_TYPE = {f"db.type/{name}": kind for kind, name in KINDS.items()}
"""The kind of an attribute's values, by the ident of its value type."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Keyword:
    """A Datomic keyword; `name` is without the colon, as in ``artist/name``."""

    name: str

    @override
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
    """Returns an instant as datetime, or as milliseconds if datetime has no such year."""
    try:
        return EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return ms


def _tuple(slots: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if slot is None else to_python(slot[0], slot[1]) for slot in slots)


def double_from_bits(bits: int) -> float:
    """Returns the double whose IEEE 754 bits are the signed 64-bit `bits`."""
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value


def float_from_bits(bits: int) -> float:
    """Returns the 32-bit float whose IEEE 754 bits are the signed 32-bit `bits`."""
    value: float = struct.unpack("<f", struct.pack("<i", bits))[0]
    return value


_DECODERS: dict[str, Callable[[Any], Any]] = {
    BOOLEAN: bool,
    LONG: int,
    REF: int,
    DOUBLE: double_from_bits,
    FLOAT: float_from_bits,
    INSTANT: _instant,
    STRING: str,
    KEYWORD: Keyword,
    SYMBOL: Symbol,
    UUID: uuid.UUID,
    URI: Uri,
    # By way of a decimal: `int` refuses a text of more than 4,300 digits, and `str` such a number.
    BIGINT: lambda text: int(Decimal(text)),
    BIGDEC: Decimal,
    BYTES: base64.b64decode,
    TUPLE: _tuple,
    FUNCTION: str,
}


def to_python(kind: str, raw: Raw) -> Any:
    """Returns the Python value of a raw form, for those who look at data."""
    return _DECODERS[kind](raw)


def _long(value: int) -> int:
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("it does not fit into 64 bits")
    return value


def _milliseconds(value: datetime | int) -> int:
    if isinstance(value, int):
        return _long(value)
    if value.tzinfo is None:
        raise ValueError("it has no time zone")
    return (value - EPOCH) // timedelta(milliseconds=1)


def _bits(layout: str, number_layout: str) -> Callable[[float], int]:
    def bits(value: float) -> int:
        try:
            number: int = struct.unpack(number_layout, struct.pack(layout, value))[0]
        except OverflowError as exc:
            raise ValueError("it does not fit into 32 bits") from exc
        return number

    return bits


def is_unicode(text: str) -> bool:
    """Returns whether UTF-8 can hold a text, which it cannot if that has half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: str) -> str:
    value.encode()  # raises a ValueError for half a surrogate pair, which is not text
    return value


def _written(text: str) -> str:
    """Returns the name that a text writes; a program can make others too, with blanks or without a name."""
    if not re.fullmatch(r"[^\s/]+(/\S+)?|/", text):
        raise ValueError("it has an invalid name")
    return text


# What Java's parser takes too: a scheme, and only the characters of URIs.
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?!//\Z)(//)?([\w.~/?@!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})+(#([\w.~/?@-]|%[0-9A-Fa-f]{2})*)?"
)


def _uri(value: Uri) -> str:
    if not _URI.fullmatch(value.text):
        raise ValueError("it is not a URI")
    return value.text


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("it is not a finite number")
    # The range of Java's BigDecimal.
    if max(abs(int(value.as_tuple().exponent)), abs(value.adjusted())) >= 1 << 31:
        raise ValueError("its exponent does not fit into 32 bits")
    return str(value)


_ENCODERS: dict[str, tuple[tuple[type, ...], Callable[[Any], Raw]]] = {
    BOOLEAN: ((bool,), int),
    LONG: ((int,), _long),
    DOUBLE: ((float,), _bits("<d", "<q")),
    FLOAT: ((float,), _bits("<f", "<i")),
    INSTANT: ((datetime, int), _milliseconds),
    STRING: ((str,), _text),
    KEYWORD: ((Keyword,), lambda value: _text(value.name)),
    SYMBOL: ((Symbol,), lambda value: _text(value.name)),
    UUID: ((uuid.UUID,), str),
    URI: ((Uri,), _uri),
    BIGINT: ((int,), lambda value: str(Decimal(value))),
    BIGDEC: ((Decimal,), _decimal),
    BYTES: ((bytes,), lambda value: base64.b64encode(value).decode()),
}


def to_raw(kind: str, value: Any) -> Raw:
    """Returns the raw form of a Python value: the opposite of `to_python`, except for references and tuples.

    Raises:
        TypeError: the value is not of the type that `to_python` returns for that kind.
        ValueError: Datomic has no such value.
    """
    types, encode = _ENCODERS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind != BOOLEAN):
        raise TypeError(f"a {type(value).__name__} instead of a {types[0].__name__}")
    return encode(value)


def parse(kind: str, text: str) -> Any:
    """Returns the Python value that a text stands for.

    An instant is written as in RFC 3339, bytes in base64, a keyword with or without its colon.

    Raises:
        ValueError: the text does not stand for a value of that kind.
    """
    try:
        return _PARSERS[kind](text)
    except (ArithmeticError, KeyError) as exc:
        raise ValueError(f"{text!r} is not a valid {KINDS[kind]}") from exc


_PARSERS: dict[str, Callable[[str], Any]] = {
    BOOLEAN: lambda text: {"true": True, "false": False}[text],
    LONG: int,
    DOUBLE: float,
    FLOAT: float,
    INSTANT: datetime.fromisoformat,
    STRING: str,
    KEYWORD: lambda text: Keyword(_written(text.removeprefix(":"))),
    SYMBOL: lambda text: Symbol(_written(text)),
    UUID: uuid.UUID,
    URI: Uri,
    BIGINT: int,
    BIGDEC: Decimal,
    BYTES: lambda text: base64.b64decode(text, validate=True),
}
