"""What a backup has lost shows, whatever was interrupted and whoever was at work beside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.errors import DamageError, SegmentGap, Unavailable
from asyncrestore.history.catalog import StoredSegment, aside_key, list_backup
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.histories import ODD
from tests.support.damage import NAME, Objects, all_flipped, last_flipped, load, middle_deleted, store_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.stores.base import StoredObject
    from tests.support.databases import NewDatabase


pytestmark = pytest.mark.anyio

SIZE = 10


@pytest.fixture(scope="module")
async def source(shared_database: NewDatabase) -> BridgeDatabase:
    return await shared_database(*ODD)


@pytest.fixture(scope="module")
async def objects(source: BridgeDatabase) -> Objects:
    store = MemoryStore()
    await backup(source, store, name=NAME, segment_size=SIZE)
    return await load(store)


class WithoutLog(DatabaseWrapper):
    """A source that goes away when its log is wanted."""

    async def read_log(self, *_: Any, **__: Any) -> Any:
        raise Unavailable("the source is away")


class ListingLater(MemoryStore):
    """A store in which something happens after its first listing."""

    def __init__(self, objects: Objects, later: Callable[[ListingLater], Awaitable[None]]) -> None:
        super().__init__()
        self._start, self._later = objects, later
        self._listed = False

    async def list(self, name: str) -> list[StoredObject]:
        if not self._listed:
            self._listed = True
            for key, data in self._start.items():
                await self.publish(name, key, data)
            found = await super().list(name)
            await self._later(self)
            return found
        return await super().list(name)


async def _deletes_superseded(store: ListingLater) -> None:
    await delete(store, NAME, superseded=True, confirmed=True)


@pytest.mark.parametrize("damage", [last_flipped, all_flipped])
async def test_a_repair_cut_short_leaves_the_damage_to_be_seen(
    source: BridgeDatabase, objects: Objects, new_database: NewDatabase, damage: Callable[..., None]
) -> None:
    damaged = dict(objects)
    damage(damaged, {})
    store = await store_of(damaged)
    with pytest.raises(Unavailable, match="away"):
        await repair(WithoutLog(source), store, name=NAME, segment_size=SIZE)

    assert await load(store) == damaged
    assert not (await verify(store)).ok
    with pytest.raises(DamageError):
        await restore(store, await new_database())
    assert (await repair(source, store, name=NAME, segment_size=SIZE)).ok


async def test_what_was_put_aside_and_not_replaced_is_missed_and_kept(
    source: BridgeDatabase, objects: Objects
) -> None:
    store = await store_of(objects)
    there = await list_backup(store, NAME)
    last = there.chain()[-1]
    await there.put_aside(last, "a test")

    assert (await verify(store)).problems == [f"{last.key} was put aside, and no segment holds what it held"]
    report = await delete(store, NAME, superseded=True, confirmed=True)
    assert (report.deleted, report.kept) == ([], [last.key])

    assert (await repair(source, store, name=NAME, segment_size=SIZE)).ok
    report = await delete(store, NAME, superseded=True, confirmed=True)
    assert report.deleted == [last.key, aside_key(last.key)]


async def test_what_was_put_aside_and_cannot_be_decrypted_is_missed(objects: Objects) -> None:
    store = MemoryStore()
    for key, data in objects.items():
        await store.publish(NAME, key, data)
    last = (await list_backup(store, NAME)).chain()[-1]
    encrypted = MemoryStore()
    await copy(store, encrypted, encryption=os.urandom(32))
    beyond = StoredSegment(SegmentRange(last.range.end, last.range.end + SIZE), 0).key
    await store.publish(NAME, beyond, (await load(encrypted))[last.key])
    await store.publish(NAME, aside_key(beyond), b"it cannot be decrypted")
    [problem] = (await verify(store)).problems
    assert problem.startswith(beyond)


async def test_superseded_segments_go_while_a_backup_appends(objects: Objects) -> None:
    async def append(store: ListingLater) -> None:
        await store.publish(NAME, max(objects), objects[max(objects)])

    whole = await store_of({key: data for key, data in objects.items() if key != max(objects)})
    await compact(whole, name=NAME, segment_size=100 * SIZE)
    store = ListingLater(await load(whole), append)
    assert (await delete(store, NAME, superseded=True, confirmed=True)).deleted


async def test_nothing_is_superseded_where_everything_was_put_aside(objects: Objects) -> None:
    store = await store_of(objects)
    there = await list_backup(store, NAME)
    for stored in there.segments:
        await there.put_aside(stored, "a test")
    with pytest.raises(SegmentGap, match="only segments that were put aside"):
        await delete(store, NAME, superseded=True, confirmed=True)
    assert objects.items() <= (await load(store)).items()


async def test_a_damaged_segment_that_the_source_cannot_replace_stays(
    source: BridgeDatabase, objects: Objects
) -> None:
    later = StoredSegment.from_key(max(objects))
    assert later is not None
    beyond = f"{later.range.end:013d}-{later.range.end + SIZE:013d}.parquet"
    store = await store_of({**objects, beyond: b"was there once"})
    report = await repair(source, store, name=NAME, segment_size=SIZE)
    assert (report.ok, report.aside) == (False, [])
    assert report.verified.problems[0].endswith(f"make an empty object {beyond}.aside")
    with pytest.raises(DamageError, match=r"still damaged: 2 problems, the first: .* was not put aside"):
        report.raise_for_problems()

    await store.publish(NAME, aside_key(beyond), b"")
    assert (await verify(store)).ok
    assert (await delete(store, NAME, superseded=True)).deleted == [beyond, aside_key(beyond)]


async def test_a_backup_that_lost_a_segment_meanwhile_says_so(
    source: BridgeDatabase, objects: Objects
) -> None:
    async def lose(store: ListingLater) -> None:
        await store.delete(NAME, sorted(objects)[1])

    with pytest.raises(SegmentGap, match="at the end of its backup"):
        await backup(source, ListingLater(objects, lose), name=NAME, segment_size=SIZE)


async def test_a_copy_that_was_deleted_meanwhile_is_not_ok(objects: Objects) -> None:
    async def lose(store: ListingLater) -> None:
        await delete(store, NAME, confirmed=True)

    report = await copy(await store_of(objects), ListingLater(objects, lose))
    assert (report.ok, report.problems) == (False, ["memory:/db was deleted meanwhile"])


async def test_what_is_before_a_gap_can_be_restored(objects: Objects, new_database: NewDatabase) -> None:
    broken = dict(objects)
    middle_deleted(broken, {})
    store, target = await store_of(broken), await new_database()
    with pytest.raises(SegmentGap) as caught:
        await restore(store, target)
    assert f"`until_t={SIZE - 1}`" in caught.value.hint
    with pytest.raises(SegmentGap):
        await restore(store, target, until_t=SIZE)

    assert (await restore(store, target, until_t=SIZE - 1)).last_t == SIZE - 1
    assert (await verify(store, against=target, until_t=SIZE - 1)).ok
    with pytest.raises(SegmentGap):
        await restore(store, target)


async def test_segments_that_are_deleted_as_superseded_meanwhile(
    objects: Objects, new_database: NewDatabase
) -> None:
    store = await store_of(objects)
    await compact(store, name=NAME, segment_size=100 * SIZE)
    compacted = await load(store)
    assert len(compacted) > len(objects)
    assert (await verify(ListingLater(compacted, _deletes_superseded), name=NAME)).ok

    async def replaces(store: ListingLater) -> None:
        for key in compacted.keys() - objects.keys():
            await store.publish(NAME, key, compacted[key])
        await _deletes_superseded(store)

    with pytest.raises(Unavailable, match="others replace it"):
        await verify(ListingLater(objects, replaces), name=NAME)
    with pytest.raises(Unavailable, match="gone since the backup was listed"):
        await restore(ListingLater(objects, replaces), await new_database(), name=NAME)
