"""Small segments become large ones, copies are exact, and only what nobody reads is deleted."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import (
    Conflict,
    NotAuthorized,
    NotFound,
    SegmentDamaged,
    SegmentGap,
    StoreFailed,
    UsageError,
)
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs import compact as compacting
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import LogChunk
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from asyncrestore.testing import Faults, FaultyStore
from tests.support import small_backup
from tests.support.damage import NAME, Objects, load, store_of

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

pytestmark = pytest.mark.anyio

END = 25
TINY = small_backup.objects(ranges=tuple(SegmentRange(t, t + 1) for t in range(END)))
WHOLE = SegmentRange(0, END)


async def history(store: Store) -> LogChunk:
    """All that a restore would read."""
    found = await StoredHistory.open(store, None)
    return LogChunk.join([chunk for part in found.parts(0) async for chunk in await found.load(part)])


async def test_tiny_segments_become_one() -> None:
    store = await store_of(TINY)
    before = await history(store)

    report = await compact(store)

    assert (report.before, report.after, report.segments) == (END, 1, [WHOLE])
    assert sorted(report.superseded) == sorted(TINY)
    assert (await verify(store)).ok
    assert await history(store) == before
    now = await load(store)
    assert TINY.items() <= now.items()
    assert Segment(now[WHOLE.key]).groups == 1
    assert Segment(now[WHOLE.key]).info == Segment(small_backup.segment(WHOLE)).info
    again = await compact(store)
    assert (again.before, again.after, again.segments) == (1, 1, [])


async def test_cut_where_a_backup_cuts() -> None:
    store = await store_of(TINY)
    report = await compact(store, segment_size=10)
    assert report.segments == list(small_backup.RANGES)
    assert (await compact(store, segment_size=10)).segments == []
    assert (await compact(store, segment_size=20)).segments == [SegmentRange(0, 20)]
    assert (await verify(store)).ok


async def test_gaps_stay_and_overlaps_do_not() -> None:
    objects = {k: v for k, v in TINY.items() if k != SegmentRange(9, 10).key}
    overlapping = SegmentRange(12, 17)
    store = await store_of({**objects, overlapping.key: small_backup.segment(overlapping)})
    before = TINY.keys()
    assert (await compact(store)).segments == [SegmentRange(0, 9), SegmentRange(10, END)]
    with pytest.raises(SegmentGap, match="t 9 to 9"):
        await history(store)
    await store.publish(NAME, SegmentRange(9, 10).key, TINY[SegmentRange(9, 10).key])
    assert await history(store) == await history(await store_of({key: TINY[key] for key in before}))


async def test_no_segment_gets_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compacting, "SEGMENT_WEIGHT", 8)
    store = await store_of(TINY)
    report = await compact(store)
    sizes = [Segment(await store.read(NAME, range_.key)).info.datoms for range_ in report.segments]
    assert sizes == [8, 8, 8, 8, 6]
    assert (await verify(store)).ok


async def test_what_is_damaged_or_foreign_is_not_merged() -> None:
    key = SegmentRange(7, 8).key
    store = await store_of({**TINY, key: b""})
    with pytest.raises(SegmentDamaged, match=key):
        await compact(store)
    store = await store_of({**TINY, key: small_backup.segment(SegmentRange(7, 8), "another")})
    with pytest.raises(Conflict, match="another database"):
        await compact(store)
    assert len(await load(store)) == END


async def test_superseded_segments_are_deleted_once_confirmed() -> None:
    store = await store_of(TINY)
    await compact(store)
    told = await delete(store, NAME, superseded=True)
    assert (told.confirmed, sorted(told.deleted)) == (False, sorted(TINY))
    assert len(await load(store)) == END + 1
    done = await delete(store, NAME, superseded=True, confirmed=True)
    assert (done.deleted, done.bytes) == (told.deleted, sum(map(len, TINY.values())))
    assert list(await load(store)) == [WHOLE.key]
    assert (await delete(store, NAME, superseded=True, confirmed=True)).deleted == []


async def test_nothing_is_deleted_of_a_backup_that_is_not_whole_without_it() -> None:
    for wrong in (b"", small_backup.segment(WHOLE)[:-1]):
        store = await store_of({**TINY, WHOLE.key: wrong})
        with pytest.raises(SegmentDamaged):
            await delete(store, NAME, superseded=True, confirmed=True)
        assert len(await load(store)) == END + 1
    store = await store_of({**TINY, SegmentRange(30, 31).key: small_backup.segment(SegmentRange(30, 31))})
    with pytest.raises(SegmentGap):
        await delete(store, NAME, superseded=True, confirmed=True)
    # Two databases of one name, whose backups began at once.
    store = await store_of({**TINY, WHOLE.key: small_backup.segment(WHOLE, "another")})
    with pytest.raises(Conflict, match="several databases: a-source, another"):
        await delete(store, NAME, superseded=True, confirmed=True)
    assert len(await load(store)) == END + 1
    last = SegmentRange(END, END + 1)
    store = await store_of({**TINY, last.key: small_backup.segment(last, "another")})
    with pytest.raises(Conflict):
        await delete(store, NAME, superseded=True, confirmed=True)


@pytest.mark.parametrize("kind", ["memory", "directory"])
async def test_a_backup_is_deleted_from_its_head(kind: str, tmp_path: Path) -> None:
    deleted: list[str] = []

    class Noting(MemoryStore):
        async def delete(self, name: str, key: str) -> None:
            deleted.append(key)
            await super().delete(name, key)

    store: Store = Noting() if kind == "memory" else FilesystemStore(tmp_path)
    objects = small_backup.objects()
    for key, data in {**objects, "notes.txt": b"mine"}.items():
        await store.publish(NAME, key, data)
    report = await delete(store, NAME, confirmed=True)
    assert (report.deleted, report.kept) == (sorted(objects), ["notes.txt"])
    assert await load(store) == {"notes.txt": b"mine"}
    assert kind != "memory" or deleted == sorted(objects)
    with pytest.raises(NotFound):
        await delete(store, NAME, confirmed=True)
    for key, data in objects.items():
        await store.publish("other", key, data)
    await delete(store, "other", confirmed=True)
    assert await store.names() == [NAME]


@pytest.mark.parametrize(
    "encryption", [None, bytes(32), SigningKey(bytes(32))], ids=["plain", "encrypted", "signed"]
)
async def test_a_store_without_deletion(encryption: Encryption | None) -> None:
    store = FaultyStore(await store_of(TINY), Faults())
    with pytest.raises(UsageError, match="cannot delete"):
        await delete(store, NAME, confirmed=True, encryption=encryption)


async def test_a_copy_is_exact_and_continues(tmp_path: Path) -> None:
    objects = small_backup.objects()
    source, target = await store_of(objects), FilesystemStore(tmp_path / "spare")
    first = next(iter(objects))
    await target.publish(NAME, first, objects[first])

    report = await copy(source, target)

    assert report.ok
    assert report.segments == list(small_backup.RANGES[1:])
    assert await load(target) == objects
    assert (await copy(source, target)).segments == []
    assert (await copy(source, target, as_name="other")).ok
    assert await load(target, "other") == objects


async def test_only_what_is_read_is_copied() -> None:
    source, target = await store_of(TINY), MemoryStore()
    await compact(source)
    assert (await copy(source, target)).segments == [WHOLE]
    assert list(await load(target)) == [WHOLE.key]


async def test_what_a_compacted_copy_has_is_not_copied_again() -> None:
    source, target = await store_of(TINY), MemoryStore()
    await copy(source, target)
    await compact(target)
    await delete(target, NAME, superseded=True, confirmed=True)
    more = SegmentRange(END, END + 3)
    await source.publish(NAME, more.key, small_backup.segment(more))

    report = await copy(source, target)

    assert (report.ok, report.segments) == (True, [more])


async def test_damage_is_not_copied_nor_hidden() -> None:
    objects = small_backup.objects()
    key = list(objects)[1]
    target = MemoryStore()

    report = await copy(await store_of({**objects, key: b""}), target)

    assert not report.ok
    assert len(report.problems) == 1
    assert key in report.problems[0]
    assert key not in await load(target)
    assert (await copy(await store_of(objects), target)).ok
    assert await load(target) == objects

    spare = await store_of({**objects, key: b""})
    report = await copy(await store_of(objects), spare)
    assert not report.ok, "damage in the copy is found"
    assert report.verified is not None
    assert key in report.verified.problems[0]


async def test_another_database_s_copy_is_refused() -> None:
    foreign: Objects = small_backup.objects("another")
    target = await store_of(foreign)
    with pytest.raises(Conflict, match="another database"):
        await copy(await store_of(small_backup.objects()), target)
    assert await load(target) == foreign
    with pytest.raises(NotFound):
        await copy(MemoryStore(), target)


@pytest.mark.parametrize("ahead", [False, True])
async def test_another_past_s_copy_is_refused(*, ahead: bool) -> None:
    """The same database, restored to an earlier state and gone on otherwise, in other segments."""
    ranges = SegmentRange(0, 8), SegmentRange(8, 16), SegmentRange(16, 27 if ahead else 22)
    parted = {
        range_.key: small_backup.segment(range_, name="other" if range_.end > 20 else "name")
        for range_ in ranges
    }
    target = await store_of(parted)
    with pytest.raises(Conflict, match=r"have diverged: t \d+ differs"):
        await copy(await store_of(small_backup.objects()), target)
    assert await load(target) == parted


async def test_a_directory_without_permission_to_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path)
    for key, data in small_backup.objects().items():
        await store.publish(NAME, key, data)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.unlink", refuse)  # the tests may run as root, whom no mode stops
    with pytest.raises(NotAuthorized, match="Permission denied"):
        await delete(store, NAME, confirmed=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
async def test_a_full_or_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    store, spare = FilesystemStore(tmp_path / "store"), FilesystemStore(tmp_path / "spare")
    for key, data in small_backup.objects().items():
        await store.publish(NAME, key, data)

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StoreFailed, match=os.strerror(number)):
            await compact(store)
        with pytest.raises(StoreFailed, match=os.strerror(number)):
            await copy(store, spare, parallel=1)
    assert await load(store) == small_backup.objects()
    assert (await verify(store)).ok
    assert await load(spare) == {}
    assert (await copy(store, spare)).ok
