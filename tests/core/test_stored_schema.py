"""The schema as of the start of any segment: out of the segments before it, whatever their cuts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncrestore.errors import AsyncRestoreError, Conflict, DamageError, SegmentDamaged, SegmentGap
from asyncrestore.history.catalog import find_backup
from asyncrestore.history.stored import StoredHistory
from asyncrestore.history.stored_schema import StoredSchema
from asyncrestore.jobs.compact import compact
from asyncrestore.model.log import t_to_tx
from asyncrestore.model.schema import Schema
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.memory import MemoryStore
from tests.support.altered import chunk_of
from tests.support.damage import NAME, load, store_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.model.log import Datom
    from tests.support.damage import Objects

IDENT, VALUE_TYPE, CARDINALITY, UNIQUE, TUPLE_ATTRS, PREDICATES, TX_INSTANT = 10, 40, 41, 42, 43, 44, 50
STRING, TUPLE, ONE, MANY, IDENTITY = 23, 25, 35, 36, 38
BASE = {
    IDENT: "db/ident",
    VALUE_TYPE: "db/valueType",
    CARDINALITY: "db/cardinality",
    UNIQUE: "db/unique",
    TUPLE_ATTRS: "db/tupleAttrs",
    PREDICATES: "db.attr/preds",
    TX_INSTANT: "db/txInstant",
    STRING: "db.type/string",
    TUPLE: "db.type/tuple",
    ONE: "db.cardinality/one",
    MANY: "db.cardinality/many",
    IDENTITY: "db.unique/identity",
}
BOOTSTRAP_T = 5
ENUM = 4 << 42 | 9
ATTRIBUTES = range(80, 86)


@dataclass
class Log:
    """A made-up log.

    Attributes:
        transactions: the datoms of each from t 6 on, without the transaction's own.
        source: identity of the database.
    """

    transactions: Sequence[list[Datom]]
    source: str = "a-source"

    @property
    def end(self) -> int:
        return BOOTSTRAP_T + 1 + len(self.transactions)

    def schema(self, t: int) -> Schema:
        """As of before t."""
        schema = Schema(dict(BASE))
        for datoms in self.transactions[: max(0, t - BOOTSTRAP_T - 1)]:
            schema.apply(datoms)
        return schema

    def segment(self, start: int, end: int) -> bytes:
        rows = [
            (t_to_tx(t), datom)
            for t in range(max(start, BOOTSTRAP_T + 1), end)
            for datom in [
                (t_to_tx(t), TX_INSTANT, "i", t, True),
                *self.transactions[t - BOOTSTRAP_T - 1],
            ]
        ]
        return encode(
            [chunk_of(rows)] if rows else [],
            SegmentRange(start, end),
            source=self.source,
            name=NAME,
            bootstrap_t=BOOTSTRAP_T,
            schema=self.schema(start),
        )

    def objects(self, *cuts: int) -> Objects:
        """A backup with a segment from each cut to the next, the first from 0 and the last to the end."""
        ranges = [SegmentRange(*each) for each in pairwise([0, *cuts, self.end])]
        return {range_.key: self.segment(range_.start, range_.end) for range_ in ranges}


def attribute(e: int, ident: str) -> list[Datom]:
    return [
        (e, IDENT, "k", ident, True),
        (e, VALUE_TYPE, "r", STRING, True),
        (e, CARDINALITY, "r", ONE, True),
    ]


def value(number: int) -> list[Datom]:
    return [(1000 + number, 80, "s", "x", True)]


MADE = [each for number, e in enumerate(ATTRIBUTES) for each in attribute(e, f"x/{number}")]
RENAMED: list[Datom] = [(80, IDENT, "k", "x/0", False), (80, IDENT, "k", "x/zero", True)]
LOG = Log([MADE, *map(value, range(3)), RENAMED, *map(value, range(4, 9))])
"""The attributes at t 6, one renamed at t 10, the last transaction at t 15."""

TINY = LOG.objects(*range(7, LOG.end))


async def schemas(objects: Objects) -> dict[int, Schema | AsyncRestoreError]:
    """By start of each segment the schema as of there, or why it is not known; of those not damaged."""
    backup = await find_backup(await store_of(objects), None)
    found: dict[int, Schema | AsyncRestoreError] = {}
    for stored in backup.chain():
        try:
            segment = await backup.read(stored)
            found[stored.range.start] = await StoredSchema(backup, backup.read).before(segment)
        except SegmentDamaged as exc:
            if stored.key not in str(exc):
                found[stored.range.start] = exc
        except (Conflict, DamageError) as exc:
            found[stored.range.start] = exc
    return found


def test_which_segments_hold_the_attributes() -> None:
    """The first, and those with as many datoms as there are attributes: here 6."""
    segments = [Segment(data) for data in LOG.objects(6, 7, 10, 12).values()]
    assert [each.info.datoms for each in segments] == [0, 19, 6, 5, 8]
    assert [each.schema() is not None for each in segments] == [True, True, True, False, True]
    first = Segment(TINY[SegmentRange(0, 7).key])
    assert first.schema() is not None
    small = Segment(TINY[SegmentRange(11, 12).key])
    assert small.schema() is None
    assert small.base.id_of("db/txInstant") == TX_INSTANT
    assert small.info.schema_sha256 == LOG.schema(11).digest()


@dataclass
class _Player:
    """Turns numbers into transactions that change a schema."""

    schema: Schema = field(default_factory=lambda: Schema(dict(BASE)))
    transactions: list[list[Datom]] = field(default_factory=list)

    def play(self, kind: int, one: int, other: int) -> None:
        e = ATTRIBUTES[one]
        known = self.schema.attributes.get(e)
        datoms: list[Datom] = [(1000 + other, e, "s", "x", True)]
        if known is None or known.value_type is None:
            datoms = attribute(e, f"x/{one}")
        elif kind == 1:
            datoms = [(e, IDENT, "k", f"x/{other}", True)]
            if known.ident is not None:
                datoms.append((e, IDENT, "k", known.ident, False))
        elif kind == 2:
            old, new = (MANY, ONE) if known.many else (ONE, MANY)
            datoms = [(e, CARDINALITY, "r", old, False), (e, CARDINALITY, "r", new, True)]
        elif kind == 3:
            datoms = [(e, UNIQUE, "r", IDENTITY, known.unique is None)]
        elif kind == 4:
            symbol = f"f/{other}"
            datoms = [(e, PREDICATES, "y", symbol, symbol not in known.predicates)]
        elif kind == 5 and self.schema.find(f"x/{other}") in ATTRIBUTES:  # not of what is an enum by now
            composite: Datom = (86, TUPLE_ATTRS, "t", (("k", f"x/{other}"),) * 2, True)
            datoms = [*attribute(86, "x/both"), composite]
        elif kind == 6:
            datoms = [(ENUM, IDENT, "k", f"x/{other}", True)]
        self.schema.apply(datoms)
        self.transactions.append(datoms)


_MOVES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=16)


@settings(max_examples=100)
@given(_MOVES, st.sets(st.integers(1, 21)), st.data())
def test_the_schema_of_any_segment(
    moves: list[tuple[int, int, int]], cuts: set[int], data: st.DataObject
) -> None:
    """Any history of a schema, cut anywhere, segments overlapping; and with one of them damaged."""
    player = _Player()
    for move in moves:
        player.play(*move)
    log = Log(player.transactions)
    starts = [0, *sorted(cut for cut in cuts if cut < log.end)]
    objects = {}
    for start, following in pairwise([*starts, log.end]):
        end = min(log.end, following + data.draw(st.integers(0, 2)))
        objects[SegmentRange(start, end).key] = log.segment(start, end)

    for start, schema in anyio.run(schemas, objects).items():
        assert isinstance(schema, Schema), schema
        assert schema.to_json() == log.schema(start).to_json()

    key = data.draw(st.sampled_from(sorted(objects)))
    damaged = anyio.run(schemas, {**objects, key: b""})
    range_ = SegmentRange.from_key(key)
    assert range_ is not None
    unchanged = log.schema(range_.start).digest() == log.schema(range_.end).digest()
    for start, schema in damaged.items():
        if isinstance(schema, Schema):
            assert schema.to_json() == log.schema(start).to_json()
        else:
            assert key in str(schema)
            assert range_.start == 0 or not unchanged


@pytest.mark.anyio
async def test_segments_that_are_lost() -> None:
    """One that did not change the schema is no harm; of one that did it is said."""
    harmless, changing = SegmentRange(8, 9).key, SegmentRange(10, 11).key
    for lost in ({harmless: b""}, {harmless: Log(LOG.transactions, "another").segment(8, 9)}):
        found = await schemas({**TINY, **lost})
        assert all(isinstance(schema, Schema) for start, schema in found.items() if start != 8)
    without = {key: data for key, data in TINY.items() if key != harmless}
    assert all(isinstance(schema, Schema) for schema in (await schemas(without)).values())

    found = await schemas({**TINY, changing: b""})
    assert [start for start, schema in found.items() if isinstance(schema, SegmentDamaged)] == [
        11,
        12,
        13,
        14,
        15,
    ]
    assert f"{changing} is damaged: it has no digest; the attributes as of t 11 depend on it" in str(
        found[15]
    )
    found = await schemas({**TINY, changing: Log(LOG.transactions, "another").segment(10, 11)})
    assert isinstance(found[15], Conflict)
    found = await schemas({key: data for key, data in TINY.items() if key != changing})
    assert isinstance(found[11], SegmentGap)
    assert "no segment holds t 10 to 10; the attributes as of t 11 depend on it" in str(found[11])
    found = await schemas({key: data for key, data in TINY.items() if key > changing})
    assert "no segment holds t 0 to 10" in str(found[11])


@pytest.mark.anyio
async def test_segments_of_two_pasts_are_not_taken_for_one() -> None:
    """Nor is one that lacks a transaction of the source, because its log was read wrong."""
    other = Log([MADE, *map(value, range(3)), value(3), *map(value, range(4, 9))])
    found = await schemas({**TINY, SegmentRange(10, 11).key: other.segment(10, 11)})
    assert isinstance(found[11], DamageError)
    assert "lead to other attributes" in str(found[11])


@pytest.mark.anyio
async def test_what_a_restore_asks_of_a_backup_with_holes() -> None:
    """Where to go on needs all before; what is left out is known if the lost changed no attributes."""
    harmless, changing = SegmentRange(8, 9).key, SegmentRange(10, 11).key
    history = await StoredHistory.open(await store_of({**TINY, harmless: b""}), None)
    assert (await history.schema()).to_json() == LOG.schema(LOG.end).to_json()
    assert (await history.state(t_to_tx(7))).schema.to_json() == LOG.schema(8).to_json()
    with pytest.raises(SegmentDamaged, match=harmless):
        await history.state(t_to_tx(12))

    gap = {key: data for key, data in TINY.items() if key != changing}
    history = await StoredHistory.open(await store_of(gap), None, until_t=9)
    assert (await history.state(t_to_tx(9))).schema.to_json() == LOG.schema(10).to_json()
    with pytest.raises(SegmentGap, match="no segment holds t 10 to 10") as caught:
        await history.schema()
    assert "without `exclude` and `rewrite`" in caught.value.hint


class Noting(MemoryStore):
    """Notes the keys of what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.were_read: list[str] = []

    async def read(self, name: str, key: str) -> bytes:
        self.were_read.append(key)
        return await super().read(name, key)


async def noting(objects: Objects) -> Noting:
    store = Noting()
    for key, data in objects.items():
        await store.publish(NAME, key, data)
    return store


@pytest.mark.anyio
async def test_compacting_reads_each_segment_twice_at_most() -> None:
    """Once to merge it, and once for the schema of the next, however many pieces are made."""
    log = Log([MADE, *map(value, range(60))])
    tiny = log.objects(*range(7, log.end))
    store = await noting(tiny)
    report = await compact(store, segment_size=4)
    assert len(report.segments) == 15
    assert max(Counter(store.were_read).values()) == 2
    there = await load(store)
    assert all(there[range_.key] == log.segment(range_.start, range_.end) for range_ in report.segments)


@pytest.mark.anyio
async def test_each_segment_is_read_once() -> None:
    """The largest ids and the schema of a place come from the same reading, also of thousands of segments."""
    store = await noting(TINY)
    history = await StoredHistory.open(store, None)
    store.were_read.clear()
    state = await history.state(t_to_tx(14))
    assert state.schema.to_json() == LOG.schema(15).to_json()
    # The first one was read when the backup was opened.
    assert len(store.were_read) == len(set(store.were_read)) == len(TINY) - 2
    assert state.seen.largest == (1000 + 7, 14, -1)


@pytest.mark.anyio
async def test_the_segment_that_a_restore_begins_with_is_read_once_more() -> None:
    """It is looked at for code and for the state at its start, and then loaded."""
    store = await noting(TINY)
    history = await StoredHistory.open(store, None)
    store.were_read.clear()
    await history.code(10, history.end)
    assert (await history.state(t_to_tx(9))).schema.to_json() == LOG.schema(10).to_json()
    part = history.parts(10)[0]
    loaded = [chunk async for chunk in await history.load(part)]
    assert [tx for chunk in loaded for tx in chunk.txs()] == [t_to_tx(10)]
    assert store.were_read.count(part.range.key) == 1
    await history.read(part)
    assert store.were_read.count(part.range.key) == 2, "it stayed in memory after it was loaded"
