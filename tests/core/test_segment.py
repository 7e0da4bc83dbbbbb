"""Segments: lossless, and any change shows."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncrestore.errors import DamageError, NewerFormat, SegmentDamaged
from asyncrestore.model.log import LogChunk, t_to_tx
from asyncrestore.model.schema import Attribute, Schema
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.segments.seal import sealed
from asyncrestore.segments.segment import Segment
from tests.strategies import chunks
from tests.support.altered import chunk_of

BASE = {
    10: "db/ident",
    23: "db.type/string",
    40: "db/valueType",
    41: "db/cardinality",
    42: "db/unique",
    50: "db/txInstant",
}
RANGE = SegmentRange(0, 1000)


def schema() -> Schema:
    return Schema(
        dict(BASE),
        {
            73: Attribute("artist/name", "db.type/string"),
            10: Attribute("db/ident", "db.type/keyword"),
            **{number: Attribute(f"some/{number}") for number in range(100, 201)},
        },
    )


def encoded(log: list[LogChunk], range_: SegmentRange = RANGE) -> bytes:
    return encode(log, range_, source="a-source", name="db", bootstrap_t=5, schema=schema())


@given(chunks())
def test_what_is_decoded_is_what_was_encoded(log: list[LogChunk]) -> None:
    segment = Segment(encoded(log))
    assert list(segment.chunks()) == log
    assert segment.info.range == RANGE
    assert segment.info.datoms == sum(map(len, log))
    assert Schema.from_json(segment.snapshot).to_json() == schema().to_json()


SMALL = encoded(
    [
        chunk_of(
            [(t_to_tx(7), (t_to_tx(7), 50, "i", 5, True)), (t_to_tx(7), (73, 10, "k", "artist/title", True))]
        )
    ]
)


@settings(max_examples=300)
@given(st.integers(0, len(SMALL) - 1), st.integers(1, 255))
def test_any_changed_byte_is_found(position: int, change: int) -> None:
    damaged = bytearray(SMALL)
    damaged[position] ^= change
    with pytest.raises(SegmentDamaged):
        Segment(bytes(damaged))


def test_every_length_but_the_whole_is_found() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(SegmentDamaged):
            Segment(SMALL[:length])
    with pytest.raises(SegmentDamaged):
        Segment(SMALL + b"\0")


def test_what_is_no_segment_is_refused() -> None:
    for data in (b"", b"PAR1", b"not parquet at all" * 10, b"asyncrestore.sha256" + b"0" * 80):
        with pytest.raises(SegmentDamaged):
            Segment(data)


def test_another_schema_than_it_says_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("encode", "segment"):
        monkeypatch.setattr(f"asyncrestore.segments.{module}.snapshot_digest", lambda _: "0" * 64)
    data = encoded([], RANGE)
    monkeypatch.undo()
    with pytest.raises(SegmentDamaged, match="its schema's SHA-256"):
        Segment(data).check_rows()


def test_a_newer_format_says_so() -> None:
    newer = sealed(SMALL.replace(b'"format":2', b'"format":3'))
    with pytest.raises(NewerFormat, match="version 3") as caught:
        Segment(newer)
    assert "newer asyncrestore" in caught.value.hint


@pytest.mark.parametrize("ts", [(7, 6), (7, 7, 8, 7), (1000,)])
def test_transactions_out_of_order_or_range_are_not_written(ts: tuple[int, ...]) -> None:
    log = [chunk_of([(t_to_tx(t), (1, 2, "l", 3, True))]) for t in ts]
    with pytest.raises(DamageError, match="out of order or outside"):
        encoded(log)


def test_a_transaction_must_stand_together() -> None:
    with pytest.raises(DamageError, match="out of order"):
        encoded([chunk_of([(t_to_tx(t), (1, 2, "l", 3, True)) for t in (7, 8, 7)])])


def test_attributes_are_named_as_of_the_transaction_before() -> None:
    rename = [
        (t_to_tx(7), (73, 10, "k", "artist/name", False)),
        (t_to_tx(7), (73, 10, "k", "artist/title", True)),
    ]
    value = (100, 73, "s", "x", True)
    data = encoded([chunk_of([(t_to_tx(6), value), *rename, (t_to_tx(8), value)])])
    table = pq.read_table(io.BytesIO(data))
    names = table.column("attribute").to_pylist()
    assert names == ["artist/name", "db/ident", "db/ident", "artist/title"]
    assert table.column("value_text").to_pylist() == ["x", "artist/name", "artist/title", "x"]


@pytest.mark.parametrize(
    ("key", "range_"),
    [
        ("0000000000000-0000000001000.parquet", RANGE),
        ("0000000001000-0000000001000.parquet", None),
        ("0000000000000-0000000001000.parquet.tmp", None),
        (".DS_Store", None),
        ("0-1000.parquet", None),
    ],
)
def test_names(key: str, range_: SegmentRange | None) -> None:
    assert SegmentRange.from_key(key) == range_
    if range_:
        assert range_.key == key
