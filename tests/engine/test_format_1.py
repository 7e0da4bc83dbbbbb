"""Backups in format 1 are read and continued as before, alone and beside segments of today's format."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import Conflict
from asyncrestore.history.catalog import BACKUP_JSON, list_backup, publish_segment
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.query import query
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.segments.document import FORMAT, SegmentRange
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.memory import MemoryStore
from tests.support import damage, small_backup
from tests.support.format_1 import NAME, OBJECTS, RANGES, make_source

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from asyncrestore.stores.base import Store, StoredObject
    from tests.support.damage import Objects
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

OLD: Objects = {path.name: path.read_bytes() for path in sorted(OBJECTS.iterdir())}
END = 17
LAST = SegmentRange(14, END)


@pytest.fixture(scope="module")
async def source(connector: Connector, tmp_path_factory: pytest.TempPathFactory) -> BridgeDatabase:
    return await make_source(connector, tmp_path_factory.mktemp("format-1"))


async def old_store() -> MemoryStore:
    store = MemoryStore()
    for key, data in OLD.items():
        await store.publish(NAME, key, data)
    return store


async def load(store: Store) -> Objects:
    return await damage.load(store, NAME)


def formats(objects: Objects) -> list[int]:
    return [Segment(data).info.format for key, data in sorted(objects.items()) if not key.endswith("aside")]


async def in_pieces(source: BridgeDatabase, *ranges: SegmentRange, of: Store | None = None) -> Objects:
    """What a backup of today writes for these ranges, in a backup of its own or another one."""
    store = MemoryStore()
    if of is not None:
        await store.publish(NAME, BACKUP_JSON, await of.read(NAME, BACKUP_JSON))
    for range_ in ranges:
        await backup(source, store, start_t=range_.start, end_t=range_.end)
    return await load(store)


async def test_described_queried_and_restored(new_database: NewDatabase) -> None:
    store, target = await old_store(), await new_database()
    assert formats(OLD) == [1] * len(RANGES)
    assert (await verify(store)).problems == []
    found = await info(store)
    assert isinstance(found, StoreInfo)
    assert found.backups[0].first_instant == datetime(2024, 1, 1, tzinfo=UTC)
    assert found.backups[0].last_instant == datetime(2024, 1, 8, tzinfo=UTC)
    rows = await query(store, "SELECT ident, cardinality FROM attributes WHERE ident LIKE 'p/%' ORDER BY 1")
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("p/code", "many"),
        ("p/email", "one"),
        ("p/friend", "many"),
        ("p/full-name", "one"),
        ("p/name", "many"),
        ("p/pair", "one"),
    ]
    for until_t in (8, 9, 11, None):
        await restore(store, target, until_t=until_t)
    assert (await verify(store, against=target)).problems == []


async def test_continued_and_restored_in_pieces(source: BridgeDatabase, new_database: NewDatabase) -> None:
    store, target, filtered = await old_store(), await new_database(), await new_database()
    for end in range(LAST.start + 1, END + 1):
        assert (await backup(source, store, end_t=end)).segments == [SegmentRange(end - 1, end)]
    assert (await verify(store, live=source)).problems == []
    assert formats(await load(store)) == [1, 1, 1, 1, FORMAT, FORMAT, FORMAT]

    for until_t in range(12, END):
        await restore(store, target, until_t=until_t)
        await restore(store, filtered, until_t=until_t, exclude=["p/age"])
    assert (await verify(source, against=target)).problems == []
    assert (await verify(store, against=filtered, exclude=["p/age"])).problems == []


async def test_what_is_there_counts_as_written(source: BridgeDatabase) -> None:
    """A backup that was killed goes on with a newer program, and two may write at once."""

    class Blind(MemoryStore):
        """Shows nothing when it is listed for the first time: what is there came just afterwards."""

        listed = 0

        async def list(self, name: str) -> list[StoredObject]:
            self.listed += 1
            return [] if self.listed == 1 else await super().list(name)

    for range_ in RANGES:
        blind = Blind()
        await blind.publish(NAME, range_.key, OLD[range_.key])
        report = await backup(source, blind, start_t=range_.start, end_t=range_.end)
        assert report.segments == []

    new = await in_pieces(source, *RANGES)
    assert formats(new) == [FORMAT] * len(RANGES)
    for there, ours in ((OLD, new), (new, OLD)):
        store = MemoryStore()
        for range_ in RANGES:
            await store.publish(NAME, range_.key, there[range_.key])
            assert not await publish_segment(await list_backup(store, NAME), range_, ours[range_.key])
        other = small_backup.segment(RANGES[1])
        with pytest.raises(Conflict, match="holds other transactions"):
            await publish_segment(await list_backup(store, NAME), RANGES[1], other)


@pytest.mark.parametrize("range_", RANGES)
async def test_repaired(source: BridgeDatabase, range_: SegmentRange) -> None:
    store = await old_store()
    await store.delete(NAME, range_.key)
    await store.publish(NAME, range_.key, OLD[range_.key][:-9])

    report = await repair(source, store)

    assert (report.verified.problems, [each.key for each in report.aside]) == ([], [range_.key])
    wanted = [SegmentRange(10, END)] if range_.end == LAST.start else [range_, LAST]
    assert report.backup.segments == wanted
    assert {*(await in_pieces(source, *wanted, of=store)).values()} <= {*(await load(store)).values()}
    rows = await query(store, "SELECT count(*) AS count, max(t) AS t FROM transactions")
    assert rows.to_pylist() == [{"count": END - 6, "t": END - 1}]


async def test_compacted_and_copied(source: BridgeDatabase, new_database: NewDatabase) -> None:
    store, spare, target = await old_store(), MemoryStore(), await new_database()
    await backup(source, store, segment_size=1)
    assert (await copy(store, spare)).ok
    assert (await load(spare)).items() >= OLD.items(), "byte for byte"

    report = await compact(store, segment_size=7)

    assert report.segments == [SegmentRange(7, 14), LAST]
    wanted = await in_pieces(source, *report.segments, of=store)
    now = await load(store)
    for key, data in wanted.items():
        assert Segment(data).same_content(Segment(now[key])), "what a backup writes today"
    assert (await copy(store, spare)).ok
    for until_t in (7, 9, 14, 15, None):
        await restore(spare, target, until_t=until_t)
    assert (await verify(source, against=target)).problems == []
    assert (await compact(spare)).after == 1
    assert (await verify(spare, against=target)).problems == []
