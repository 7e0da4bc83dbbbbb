"""Hypothesis strategies for what passes between the parts."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from asyncrestore.model.log import t_to_tx
from tests.support.altered import Row, chunk_of

if TYPE_CHECKING:
    from asyncrestore.model.log import Datom, LogChunk
    from asyncrestore.model.values import Raw

longs = st.integers(-(2**63), 2**63 - 1)
entity_ids = st.builds(
    lambda partition, index: (partition << 42) | index,
    st.sampled_from([0, 3, 4, 17, 23, 4715, (1 << 19) + 5]),
    st.integers(0, 2**42 - 1),
)
double_bits = st.one_of(
    longs, st.floats(width=64).map(lambda value: struct.unpack("<q", struct.pack("<d", value))[0])
)
float_bits = st.integers(-(2**31), 2**31 - 1)
# Java's and Parquet's strings are UTF-8 here; half a surrogate pair is refused by the bridge.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)

scalars = st.one_of(
    st.tuples(st.just("b"), st.integers(0, 1)),
    st.tuples(st.just("l"), longs),
    st.tuples(st.just("r"), entity_ids),
    st.tuples(st.just("d"), double_bits),
    st.tuples(st.just("f"), float_bits),
    st.tuples(st.just("i"), longs),
    st.tuples(st.sampled_from("sky"), texts),
    st.tuples(st.just("u"), st.uuids().map(str)),
    st.tuples(
        st.just("o"), st.sampled_from(["", "a/b?c#d", "http://user@[::1]:80/%20ü", "urn:x:y", "file:///a"])
    ),
    st.tuples(st.just("n"), st.integers().map(str)),
    st.tuples(st.just("m"), st.decimals(allow_nan=False, allow_infinity=False).map(str)),
    st.tuples(st.just("x"), st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())),
)
tuples = st.tuples(st.just("t"), st.lists(st.one_of(st.none(), scalars), min_size=1, max_size=8).map(tuple))
values = st.one_of(scalars, tuples)


IDENT, REFERENCES = 10, {40, 41, 42}
"""Attributes of the base schema that Datomic holds to their types, and from which schemas are read."""


def _datom(e: int, a: int, value: tuple[str, Raw], name: str, entity: int, added: bool) -> Datom:
    if a == IDENT:
        value = "k", name
    elif a in REFERENCES:
        value = "r", entity
    return e, a, *value, added


@st.composite
def rows(draw: st.DrawFn, *, start: int = 0, end: int = 1000, max_transactions: int = 6) -> list[Row]:
    """Datoms of some transactions with start <= t < end, in order."""
    ts = sorted(draw(st.sets(st.integers(start, end - 1), max_size=max_transactions)))
    datoms = st.lists(
        st.builds(_datom, entity_ids, st.integers(100, 200), values, texts, entity_ids, st.booleans()),
        min_size=1,
        max_size=8,
    )
    return [(t_to_tx(t), datom) for t in ts for datom in draw(datoms)]


@st.composite
def chunks(draw: st.DrawFn, *, end: int = 1000) -> list[LogChunk]:
    """A log in chunks of whole transactions."""
    wanted = draw(st.integers(0, 3))
    width = end // 4
    made = [chunk_of(draw(rows(start=i * width, end=(i + 1) * width))) for i in range(wanted)]
    return [chunk for chunk in made if chunk]
