"""Frequent backups of a database with many attributes: small segments, each of which restores as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import SegmentDamaged, SegmentGap
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.query import query
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.memory import MemoryStore
from tests.support.damage import NAME, begin, load, store_of

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.damage import Objects
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

FIRST_T = 6
INCREMENTS = (
    '[{:db/id "a" :field/f0 "Ann"}]',
    '[[:db/add "b" :field/f1 "x"]]',
    "[{:db/id :field/f1 :db/ident :field/renamed}]",
    "[{:db/ident :field/f1 :db/valueType :db.type/long :db/cardinality :db.cardinality/many}]",
    '[{:db/id "c" :field/f1 [1 2]}]',
    "[{:db/ident :field/both :db/valueType :db.type/tuple :db/tupleAttrs [:field/f0 :field/renamed]"
    " :db/cardinality :db.cardinality/one}]",
    '[{:db/id "d" :field/f0 "Dan" :field/renamed "y"}]',
    '[{:db/id "e" :field/f2 "secret"}]',
)
END = FIRST_T + 1 + len(INCREMENTS)


def schema(attributes: int) -> str:
    made = (
        f"{{:db/ident :field/f{n} :db/valueType :db.type/string :db/cardinality :db.cardinality/one"
        f' :db/doc "Field {n}: which values it has, and who fills it in."}}'
        for n in range(attributes)
    )
    return f"[{' '.join(made)}]"


async def increments(source: BridgeDatabase) -> Objects:
    """A backup of the schema, then one of each transaction."""
    store = MemoryStore()
    await begin(store)
    await backup(source, store, name=NAME, end_t=FIRST_T + 1)
    await backup(source, store, name=NAME, segment_size=1)
    return await load(store)


def range_of(number: int) -> SegmentRange:
    """The range of the increment with that number."""
    return SegmentRange(FIRST_T + 1 + number, FIRST_T + 2 + number)


async def test_size_does_not_grow_with_the_schema(new_database: NewDatabase) -> None:
    sizes = []
    for attributes in (5, 500):
        objects = await increments(await new_database(schema(attributes), *INCREMENTS))
        assert len(objects) == 1 + len(INCREMENTS)
        sizes.append([len(data) for key, data in sorted(objects.items())][1:])
    few, many = sizes
    assert max(many) < 6_000
    assert max(abs(a - b) for a, b in zip(few, many, strict=True)) < 100


async def test_restored_in_pieces_filtered_compacted(new_database: NewDatabase) -> None:
    source = await new_database(schema(100), *INCREMENTS)
    objects = await increments(source)
    assert [Segment(objects[key]).schema() is not None for key in sorted(objects)] == [True] + 8 * [False]
    store, target, filtered = await store_of(objects), await new_database(), await new_database()

    for until_t in range(FIRST_T, END):
        await restore(store, target, until_t=until_t)
        await restore(store, filtered, until_t=until_t, exclude=["field/f1", "field/f2"])

    assert (await verify(source, against=target)).problems == []
    exclude = ["field/f1", "field/f2"]
    assert (await verify(source, against=filtered, exclude=exclude)).problems == []

    whole = MemoryStore()
    await begin(whole)
    await backup(source, whole, name=NAME)
    attributes = "FROM attributes ORDER BY id"
    assert await query(store, attributes) == await query(whole, attributes)
    report = await compact(store, segment_size=3)
    assert report.segments == [SegmentRange(7, 9), SegmentRange(9, 12), SegmentRange(12, 15)]
    thirds = MemoryStore()
    await begin(thirds)
    for range_ in report.segments:
        await backup(source, thirds, name=NAME, start_t=range_.start, end_t=range_.end)
    assert (await load(thirds)).items() <= (await load(store)).items(), "each is what a backup writes"
    await compact(store)
    assert (await load(whole)).items() <= (await load(store)).items()


async def test_in_any_order(new_database: NewDatabase) -> None:
    """Shards and bounded runs write what one backup writes, whatever the store has."""
    source = await new_database(schema(100), *INCREMENTS)
    objects = await increments(source)
    store = MemoryStore()
    await begin(store)
    for shard in (2, 0, 1):
        await backup(source, store, name=NAME, segment_size=1, start_t=FIRST_T + 1, shard=(shard, 3))
    await backup(source, store, name=NAME)
    assert await load(store) == objects


async def test_holes(new_database: NewDatabase) -> None:
    """What is before a hole can be had, also filtered, unless the hole hides which attributes are meant."""
    source = await new_database(schema(100), *INCREMENTS)
    objects = await increments(source)
    value, rename = range_of(4), range_of(2)
    exclude = ["field/f1", "field/f2"]

    without = await store_of({key: data for key, data in objects.items() if key != value.key})
    target = await new_database()
    await restore(without, target, until_t=value.start - 1, exclude=exclude)
    assert (await verify(source, against=target, exclude=exclude, until_t=value.start - 1)).problems == []
    damaged = await store_of({**objects, value.key: b""})
    with pytest.raises(SegmentDamaged, match=value.key):
        await restore(damaged, await new_database(), exclude=exclude)
    with pytest.raises(SegmentDamaged, match=value.key):
        await compact(damaged)

    without = await store_of({key: data for key, data in objects.items() if key != rename.key})
    target = await new_database()
    with pytest.raises(SegmentGap, match="the attributes as of t 10 depend on it") as caught:
        await restore(without, target, until_t=rename.start - 1, exclude=exclude)
    assert "without `exclude`" in caught.value.hint
    await restore(without, target, until_t=rename.start - 1)
    assert (await verify(source, against=target, until_t=rename.start - 1)).problems == []


async def test_while_a_neighbour_is_repaired(new_database: NewDatabase) -> None:
    """At each moment of a repair a restore goes on, or names the damage; once that is replaced it goes on."""
    source, target = await new_database(schema(100), *INCREMENTS), await new_database()
    objects = await increments(source)
    rename, moments = range_of(2), []
    await restore(await store_of(objects), target, until_t=rename.end)

    class Watched(MemoryStore):
        async def publish(self, name: str, key: str, data: bytes) -> bool:
            done = await super().publish(name, key, data)
            moments.append(await load(self))
            return done

    store = Watched()
    await begin(store)
    for key, data in {**objects, rename.key: b""}.items():
        await store.publish(NAME, key, data)
    with pytest.raises(SegmentDamaged, match=rename.key):
        await restore(store, target)
    moments.clear()
    assert (await repair(source, store, name=NAME)).ok

    assert len(moments) == 2, "what replaces it, then the object that puts it aside"
    for until_t, moment in zip((rename.end + 1, None), moments, strict=True):
        await restore(await store_of(moment), target, until_t=until_t)
    assert (await verify(source, against=target)).problems == []
