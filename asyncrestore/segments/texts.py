"""Which texts a segment may hold for each kind of value: those that the bridge writes and can read again.

A text that Java cannot read would stop a restore in its middle. So it is damage wherever a segment is read.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from asyncrestore.errors import SegmentDamaged
from asyncrestore.model.values import KINDS, NUMERIC_KINDS, is_unicode

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_ID = (1 << 62) - 1
"""The largest entity id (see `positions`)."""

_HEX = "%[0-9A-Fa-f]{2}"
# Java takes all that is not ASCII, but for blanks and control characters.
_OTHER = "[^\\x00-\\x7F\u0080-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_REGISTERED = rf"(?:[A-Za-z0-9_.!~'()*:@&=+$,;-]|{_HEX}|{_OTHER})"
_SEGMENT = rf"(?:[A-Za-z0-9_.!~'()*@&=+$,;-]|{_HEX}|{_OTHER})"  # of a path, without : and /
_PATH = rf"(?:[A-Za-z0-9_.!~'()*:@&=+$,;/-]|{_HEX}|{_OTHER})*"
_ANY = rf"(?:[A-Za-z0-9_.!~'()*:@&=+$,;/?\[\]-]|{_HEX}|{_OTHER})"
_AUTHORITY = rf"(?:{_REGISTERED}+|(?:{_SEGMENT}*@)?\[[0-9A-Fa-f:.]+\](?::[0-9]*)?)"
_END = rf"(?:\?{_ANY}*)?(?:#{_ANY}*)?"
_HIERARCHICAL = rf"(?:///{_PATH}|//{_AUTHORITY}(?:/{_PATH})?|/(?:{_SEGMENT}|:){_PATH}|/)"
_URI = (
    rf"(?:[A-Za-z][A-Za-z0-9+.-]*:(?:{_HIERARCHICAL}{_END}|(?:[:?\[\]]|{_SEGMENT}){_ANY}*(?:#{_ANY}*)?)"
    rf"|(?:{_HIERARCHICAL}|{_SEGMENT}+(?:/{_PATH})?)?{_END}"
    # Nothing may be where the host would be, if something follows.
    rf"|(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:\?{_ANY}*(?:#{_ANY}*)?|#{_ANY}*))"
)

PATTERNS = {
    "u": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "o": _URI,
    "n": "-?[0-9]+",
    "m": "-?[0-9]+(?:[.][0-9]+)?(?:E[+-]?[0-9]{1,10})?",
    "x": "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?",
}
"""The whole text of a kind, as a regular expression of Python and of RE2. The other kinds have any text."""

_COMPILED = {kind: re.compile(pattern) for kind, pattern in PATTERNS.items()}
_ADDRESS = re.compile(r"[^/?#]*//[^/?#\[]*\[([^\]]*)\]")
_RANGES = {
    "b": (0, 1),
    "f": (-(1 << 31), (1 << 31) - 1),
    "r": (0, LARGEST_ID),
}
_LONG = (-(1 << 63), (1 << 63) - 1)
_MOST_SLOTS = 256
_LONGEST_TUPLE = 1 << 20
"""In characters of its text: as Python objects it may take a hundred times as much."""


def check_texts(kind: str, texts: pa.StringArray) -> None:
    """Checks texts of one kind, which are UTF-8.

    Raises:
        SegmentDamaged: one is not a value of that kind.
    """
    if kind == "t":
        for text in texts.to_pylist():
            check_slots(_parsed(text))
    elif kind in PATTERNS:
        good = pc.match_substring_regex(texts, rf"\A(?:{PATTERNS[kind]})\z")
        if not pc.all(good).as_py():
            raise _no_value(kind, texts.filter(pc.invert(good))[0].as_py())
        if kind in _FURTHER:
            character, check = _FURTHER[kind]
            for text in texts.filter(pc.match_substring(texts, character)).to_pylist():
                check(text)


def _parsed(text: str) -> Any:
    if len(text) > _LONGEST_TUPLE:
        raise SegmentDamaged(f"a tuple has {len(text):,} characters, of {_LONGEST_TUPLE:,} at most")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise SegmentDamaged(f"a tuple is not a list in JSON: {exc}") from exc


def check_slots(slots: object) -> None:
    """Checks the raw form of a tuple, a list: each slot is null or a kind and its raw value.

    Raises:
        SegmentDamaged: it is not the raw form of a tuple.
    """
    if not isinstance(slots, list) or not 0 < len(slots) <= _MOST_SLOTS:
        raise SegmentDamaged("a tuple is not a list of slots")
    for slot in slots:
        if slot is not None and not (isinstance(slot, list) and len(slot) == 2 and _is_value(*slot)):
            raise SegmentDamaged("a slot of a tuple is not a kind and its value")


def _is_value(kind: object, raw: object) -> bool:
    if not isinstance(kind, str) or kind not in KINDS or kind in "tc":
        return False
    if kind in NUMERIC_KINDS:
        least, most = _RANGES.get(kind, _LONG)
        return type(raw) is int and least <= raw <= most
    if not isinstance(raw, str):
        return False
    pattern = _COMPILED.get(kind)
    if pattern is not None and not pattern.fullmatch(raw):
        return False
    if kind in _FURTHER:
        _FURTHER[kind][1](raw)
    return is_unicode(raw)


def _check_scale(text: str) -> None:
    """Checks that the scale of a decimal, the digits after its point, fits into 32 bits."""
    digits, _, exponent = text.partition("E")
    if exponent and not -(1 << 31) < len(digits.partition(".")[2]) - int(exponent) < 1 << 31:
        raise _no_value("m", text)


def _check_address(text: str) -> None:
    """Checks that what is in brackets at the place of a URI's host is an address."""
    found = _ADDRESS.match(text)
    if found:
        try:
            IPv6Address(found[1])
        except ValueError:
            raise _no_value("o", text) from None


def _no_value(kind: str, text: str) -> SegmentDamaged:
    return SegmentDamaged(f"{text[:60]!r} is not the text of a {KINDS[kind]}")


CHECKED_TEXTS: frozenset[str] = frozenset(PATTERNS) | {"t"}
"""The kinds whose texts `check_texts` looks at."""

_FURTHER: dict[str, tuple[str, Callable[[str], None]]] = {
    "m": ("E", _check_scale),
    "o": ("[", _check_address),
}
"""What regular expressions cannot say of a kind's texts, and the character that those texts have."""
