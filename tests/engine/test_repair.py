"""A damaged backup is detected, not restored from, and repaired from its source; nothing is lost by that."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.errors import Conflict, DamageError, NewerFormat, NotFound, SegmentDamaged
from asyncrestore.history.catalog import StoredSegment
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.segments.seal import sealed
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.histories import ODD, SCHEMA
from tests.support.damage import KINDS, NAME, Objects, emptied, last_deleted, load, store_of
from tests.support.recorded import record, recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

SIZE = 10
EVERYWHERE = "REPAIR_EVERYWHERE" in os.environ
"""`make test-damage`: each position, in the place of a sample."""


@pytest.fixture(scope="module")
async def source(shared_database: NewDatabase) -> BridgeDatabase:
    return await shared_database(*ODD)


@pytest.fixture(scope="module")
async def objects(source: BridgeDatabase) -> Objects:
    """A sound backup's objects."""
    store = MemoryStore()
    await backup(source, store, name=NAME, segment_size=SIZE)
    return await load(store)


@pytest.fixture(scope="module")
async def foreign(shared_database: NewDatabase) -> Objects:
    """A backup of another database, with segments of the same ranges, and one that covers more."""
    database = await shared_database(SCHEMA, *[f'[{{:p/email "{i}@y"}}]' for i in range(40)])
    store = MemoryStore()
    await backup(database, store, name=NAME, segment_size=SIZE)
    longer = MemoryStore()
    await backup(database, longer, name=NAME, segment_size=2 * SIZE)
    return {**await load(store), **await load(longer)}


@pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
async def test_every_kind_of_damage(
    source: BridgeDatabase,
    objects: Objects,
    foreign: Objects,
    new_database: NewDatabase,
    damage: Callable[[Objects, Objects], None],
) -> None:
    damaged = dict(objects)
    damage(damaged, foreign)
    store, target = await store_of(damaged), await new_database()

    found = await verify(store, live=source)
    if damage is last_deleted:
        assert (found.ok, found.behind) == (True, 2), "a backup made earlier looks the same"
        assert (await verify(store)).ok, "without the source nothing tells that there was more"
    else:
        assert not found.ok
        assert not (await verify(store)).ok
        with pytest.raises((DamageError, Conflict)):
            await restore(store, target)

    report = await repair(source, store, name=NAME, segment_size=SIZE)

    assert report.ok
    assert (await verify(store, live=source)).problems == []
    now = await load(store)
    assert damaged.items() <= now.items(), "nothing is deleted, renamed or replaced"
    assert {each.key for each in report.aside} == {
        key.removesuffix(".aside") for key in now.keys() - damaged.keys() if key.endswith(".aside")
    }
    await restore(store, target)
    assert (await verify(source, against=target)).problems == []

    again = await repair(source, store, name=NAME, segment_size=SIZE)
    assert (again.aside, again.backup.segments) == ([], [])
    assert await load(store) == now


async def test_only_what_is_missing_is_read_again(source: BridgeDatabase, objects: Objects) -> None:
    damaged = dict(objects)
    emptied(damaged, {})
    store = await store_of(damaged)

    report = await repair(source, store, name=NAME, segment_size=SIZE)

    [key] = [each.key for each in report.aside]
    assert [range_.key for range_ in report.backup.segments] == [key]
    generation = key.removesuffix(".parquet") + ".1.parquet"
    assert (await load(store))[generation] == objects[key]
    assert report.verified.notes[:-1] == [f"{key} was put aside: {report.aside[0].reason}"]
    found = await info(store)
    assert isinstance(found, StoreInfo)
    assert (found.backups[0].aside, found.backups[0].problem, found.backups[0].gaps) == ([key], "", [])


async def test_a_damaged_large_segment_leaves_the_small_ones(
    source: BridgeDatabase, objects: Objects, new_database: NewDatabase
) -> None:
    store, target = await store_of(objects), await new_database()
    await compact(store)
    [large] = (await load(store)).keys() - objects.keys()
    store = await store_of({**await load(store), large: b""})
    with pytest.raises(SegmentDamaged, match=large):
        await restore(store, target)

    report = await repair(source, store, name=NAME, segment_size=SIZE)

    assert [each.key for each in report.aside] == [large]
    assert report.backup.segments == [], "the source was not asked"
    assert report.ok
    assert (await restore(store, target)).transactions == len(ODD)
    assert (await compact(store)).segments == [StoredSegment.from_key(large).range]  # type: ignore[union-attr]
    assert (await verify(store)).ok


async def test_what_was_repaired_is_damaged_again(source: BridgeDatabase, objects: Objects) -> None:
    damaged = dict(objects)
    for _ in range(3):
        for key in [key for key in damaged if key.endswith(".parquet")]:
            damaged[key] = b""
        store = await store_of(damaged)
        assert (await repair(source, store, name=NAME, segment_size=SIZE)).ok
        damaged = await load(store)
    assert {key.split(".", 1)[1] for key in damaged} == {
        *("parquet", "1.parquet", "2.parquet", "3.parquet"),
        *("parquet.aside", "1.parquet.aside", "2.parquet.aside"),
    }


@pytest.mark.timeout(3600 if EVERYWHERE else 120)
async def test_damage_at_any_position(source: BridgeDatabase, objects: Objects, tmp_path: Path) -> None:
    """A byte changed there, and a segment cut there; read from the recorded log."""
    await record(source, tmp_path / "log")
    log: Any = recorded(tmp_path / "log")
    chance = random.Random(7)  # noqa: S311 - no secret
    places = [(key, at) for key in sorted(objects) for at in range(len(objects[key]))]
    chosen = places if EVERYWHERE else chance.sample(places, 40)
    for key, at in chosen:
        whole = objects[key]
        changed = whole[:at] + bytes([whole[at] ^ chance.randrange(1, 256)]) + whole[at + 1 :]
        for wrong in (changed, whole[:at]):
            store = await store_of({**objects, key: wrong})
            report = await repair(log, store, name=NAME, segment_size=SIZE)
            assert report.ok, (key, at)
            assert [each.key for each in report.aside] == [key], (key, at)
    print(f"{2 * len(chosen)} repairs")  # noqa: T201 - shown by make test-damage


async def test_on_disk(source: BridgeDatabase, objects: Objects, foreign: Objects, tmp_path: Path) -> None:
    for damage in KINDS:
        damaged = dict(objects)
        damage(damaged, foreign)
        store = FilesystemStore(tmp_path / damage.__name__)
        for key, data in damaged.items():
            await store.publish(NAME, key, data)
        assert (await repair(source, store, name=NAME, segment_size=SIZE)).ok
        assert damaged.items() <= (await load(store)).items()


@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
async def test_something_else_in_a_segment_s_place(source: BridgeDatabase, tmp_path: Path, kind: str) -> None:
    await backup(source, str(tmp_path), name=NAME, segment_size=SIZE)
    path = sorted((tmp_path / NAME).iterdir())[1]
    path.unlink()
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(tmp_path / "nothing")
    assert not (await verify(str(tmp_path))).ok
    report = await repair(source, str(tmp_path), name=NAME, segment_size=SIZE)
    assert (report.ok, [each.key for each in report.aside]) == (True, [path.name])


async def test_another_database_mends_nothing(
    new_database: NewDatabase, source: BridgeDatabase, objects: Objects
) -> None:
    other = await new_database(SCHEMA)
    damaged = dict(objects)
    emptied(damaged, {})
    store = await store_of(damaged)
    with pytest.raises(Conflict, match="is a backup of another database"):
        await repair(other, store, name=NAME)
    with pytest.raises(Conflict, match="is a backup of another database"):
        await verify(store, live=other)
    assert await load(store) == damaged
    with pytest.raises(NotFound, match="holds no segments"):
        await repair(source, store, name="none")


async def test_a_newer_version_s_segments_are_not_damaged(new_database: NewDatabase) -> None:
    source, written = await new_database(*ODD), MemoryStore()
    await backup(source, written, name=NAME)
    before = {
        key: sealed(data.replace(b'"format":2', b'"format":3')) for key, data in (await load(written)).items()
    }
    store = await store_of(before)
    with pytest.raises(NewerFormat, match="version 3"):
        await repair(source, store, name=NAME)
    assert await load(store) == before
    assert not (await verify(store)).ok


async def test_a_source_that_is_written_to_meanwhile(new_database: NewDatabase, tmp_path: Path) -> None:
    """What comes while a repair runs is the next backup's."""
    source = await new_database(*ODD)
    await backup(source, str(tmp_path), name=NAME, segment_size=SIZE)
    damaged = min((tmp_path / NAME).iterdir())
    damaged.write_bytes(b"no segment")

    class Busy(DatabaseWrapper):
        async def basis_t(self) -> int:
            await source.transact_edn(["[]"])
            return await self.inner.basis_t()

    report = await repair(Busy(source), str(tmp_path), name=NAME, segment_size=SIZE)

    assert (report.verified.problems, [each.key for each in report.aside]) == ([], [damaged.name])
