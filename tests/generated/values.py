"""Values of every type, as kind and raw form; the edges of each type are drawn often."""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

from asyncrestore.model.values import to_python
from tests.strategies import double_bits, float_bits, longs, texts

if TYPE_CHECKING:
    from asyncrestore.model.values import Raw

Value: TypeAlias = "tuple[str, Any]"
"""Kind and raw form; of a reference the raw form is a place of the script."""


def _doubles(*numbers: float) -> list[int]:
    return [struct.unpack("<q", struct.pack("<d", number))[0] for number in numbers]


def _floats(*numbers: float) -> list[int]:
    return [struct.unpack("<i", struct.pack("<f", number))[0] for number in numbers]


NAN = 0x7FF8000000000000
FLOAT_NAN = 0x7FC00000
NEGATIVE_ZERO = -(2**63)
INFINITIES = float("inf"), float("-inf")
ONE_TENTH_AS_FLOAT = struct.unpack("<f", struct.pack("<f", 0.1))[0]

_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(/[a-z][a-z0-9-]{0,5})?", fullmatch=True)
_NAME_EDGES = ["a", "a/b", "a.b.c/d-e", "é/ü", "a/b*c?", "+"]
_BLANK = ["", "a/", "/a", "a/ ", " "]
"""Names that a program can make, and no text."""

EDGES: dict[str, tuple[str, list[Raw]]] = {
    "string": ("s", ["", "a", "b", "x" * 4096, "\U0001f600" * 2048, "~x", "^ ", "`k", ":kw",
                     "\u00e9\u4e2d\U0001f600", "e\u0301", '\u0000\n"\\', "\uffff\ufeff"]),
    "boolean": ("b", [0, 1]),
    "long": ("l", [0, 1, 2, 3, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]),
    "bigint": ("n", ["0", "1", "2", "-1", str(2**63), str(-(2**63) - 1), str(10**40), str(2**8000)]),
    "double": ("d", [NAN, *_doubles(*INFINITIES, 0.0, -0.0, 1.0, 0.1, ONE_TENTH_AS_FLOAT, 5e-324,
                                    1.7976931348623157e308)]),
    "float": ("f", [FLOAT_NAN, *_floats(*INFINITIES, 0.0, -0.0, 1.0, 0.1, 1e-45, 3.4028234663852886e38)]),
    "bigdec": ("m", ["0", "0.0", "1", "1.0", "1.00", "-0.5", "1E+3", "1000", "0E-10", "123456789.123456789",
                     "9" * 900 + ".25", "1E-300"]),
    "instant": ("i", [0, 1, -1, -86400001, -62135596800000, 253402300799999, 1700000000123, 8640000000000000,
                      -8640000000000000]),
    "keyword": ("k", [*_NAME_EDGES, *_BLANK, "/", "a/:b"]),
    "symbol": ("y", [*_NAME_EDGES, *_BLANK, "nil", "true", "/"]),
    "uuid": ("u", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
                   "7d0162a9-2636-46f2-b0e8-a9336075eee2"]),
    "uri": ("o", ["", "http://a/b?c=d#e", "HTTP://A/b?c=d#e", "urn:x:y", "mailto:a@b", "/relative",
                  "http://\u00e9/\u00fc", "http://a/%7e"]),
}  # fmt: skip

PRO_EDGES: dict[str, tuple[str, list[Raw]]] = {
    "long string": ("s", ["x" * 5000]),
    "bytes": ("x", ["", "AA==", "AAE=", "AQ==", "/w==", "A" * 8000]),
}
"""What only Pro can hold."""

_ANY: dict[str, st.SearchStrategy[Raw]] = {
    "string": texts,
    "boolean": st.integers(0, 1),
    "long": longs,
    "bigint": st.integers(-(10**30), 10**30).map(str),
    "double": double_bits,
    "float": float_bits,
    "bigdec": st.builds(
        lambda digits, scale: f"{digits}E{-scale:+d}", st.integers(-(10**12), 10**12), st.integers(-9, 9)
    ),
    "instant": st.integers(-(10**14), 10**14),
    "keyword": _NAMES,
    "symbol": _NAMES,
    "uuid": st.uuids().map(str),
    "uri": _NAMES.map("http://host/".__add__),
}

TYPES = list(EDGES)
SLOT_TYPES = [name for name in TYPES if name != "float"]
"""Types that a slot of a tuple may have, besides references."""

_VALUES: dict[str, st.SearchStrategy[Value]] = {
    name: st.tuples(st.just(kind), st.one_of(st.sampled_from(edges), st.sampled_from(edges), _ANY[name]))
    for name, (kind, edges) in EDGES.items()
}


def _edge(kind: str, edges: list[Raw]) -> st.SearchStrategy[Value]:
    return st.tuples(st.just(kind), st.sampled_from(edges))


_PRO_VALUES = {
    **_VALUES,
    "string": st.one_of(_VALUES["string"], _edge(*PRO_EDGES["long string"])),
    "bytes": _edge(*PRO_EDGES["bytes"]),
}


def value_of(type_: str, *, on_pro: bool = False) -> st.SearchStrategy[Value]:
    """A value of a type that is neither a reference nor a tuple; `on_pro` also one that only Pro can hold."""
    return (_PRO_VALUES if on_pro else _VALUES)[type_]


def on_disk(value: Value) -> Value:
    """The value as a durable database of Local keeps it."""
    kind, raw = value
    if kind == "d":
        return kind, 0 if raw == NEGATIVE_ZERO else NAN if math.isnan(to_python(kind, raw)) else raw
    if kind == "f":
        return kind, FLOAT_NAN if math.isnan(to_python(kind, raw)) else raw
    return value


def is_readable(value: Value) -> bool:
    """Whether a step that is sent as EDN can have it: not every kind, nor every keyword, can be read."""
    kind, raw = value
    return kind in "lmusr" or (kind == "k" and re.fullmatch(r"[^\s/:]+(/[^\s/:]+)?", raw) is not None)


def shortened(value: Value) -> Value:
    """The value as a tuple may hold it: strings of at most 256 characters."""
    kind, raw = value
    return (kind, raw[:128]) if isinstance(raw, str) and kind == "s" else value
