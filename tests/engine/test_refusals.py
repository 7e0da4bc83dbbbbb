"""What cannot or must not be done is refused with the right error, and nothing is lost."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.uri import PEER
from asyncrestore.errors import (
    Conflict,
    NotFound,
    Overtaken,
    SegmentDamaged,
    SegmentGap,
    StoreFailed,
    Unavailable,
    UsageError,
)
from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import t_to_tx, tx_to_t
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper, Faults, FaultyStore
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase
from tests.support.damage import load
from tests.support.databases import EndingAt
from tests.support.engines import IN_MEMORY

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import Connector
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio
both_engines = pytest.mark.parametrize("engine", IN_MEMORY)


async def test_unknown_schemes(connector: Connector, new_database: NewDatabase) -> None:
    database = await new_database()
    with pytest.raises(UsageError, match="'no_such' is not supported"):
        await connector.open("datomic:no_such://system/db")
    with pytest.raises(UsageError, match="not a store"):
        await backup(database, "ftp://host/backups")
    with pytest.raises(UsageError, match="unknown option region"):
        await connector.open("datomic:local://system/db?storage-dir=/tmp&region=x")


async def test_missing_source_is_not_created(connector: Connector, tmp_path: Path) -> None:
    uri = f"datomic:local://system/nothing?storage-dir={tmp_path}"
    with pytest.raises(NotFound, match="no database nothing"):
        await connector.open(uri)
    assert list(tmp_path.iterdir()) == []


async def test_missing_and_empty_store(new_database: NewDatabase, tmp_path: Path) -> None:
    target = await new_database()
    with pytest.raises(NotFound, match="does not exist"):
        await restore(str(tmp_path / "none"), target)
    with pytest.raises(NotFound, match="holds no backup"):
        await restore(str(tmp_path), target)
    with pytest.raises(NotFound, match="named 'x'"):
        await restore(str(tmp_path), target, name="x")


async def test_several_backups_need_a_name(new_database: NewDatabase) -> None:
    source, target, store = await new_database(SCHEMA), await new_database(), MemoryStore()
    await backup(source, store, name="one")
    await backup(source, store, name="two")
    with pytest.raises(UsageError, match="several backups: one, two"):
        await restore(store, target)


@both_engines
async def test_another_source_under_the_same_name(new_database: NewDatabase) -> None:
    first, second, store = await new_database(SCHEMA), await new_database(SCHEMA), MemoryStore()
    await backup(first, store, name="db")
    with pytest.raises(Conflict, match="another database"):
        await backup(second, store, name="db")


async def test_durable_databases_of_one_name_are_told_apart(
    connector: Connector, new_database: NewDatabase, tmp_path: Path
) -> None:
    """A durable Datomic Local database is known by its name only, so its first transaction identifies it."""
    first, second = [
        await connector.open(f"datomic:local://system/db?storage-dir={tmp_path / place}", create=True)
        for place in ("one", "two")
    ]
    await first.transact_edn([SCHEMA])
    await second.transact_edn([SCHEMA])
    target, store = await new_database(), MemoryStore()
    await backup(first, store)
    await restore(first, target)

    with pytest.raises(Conflict, match="another database"):
        await backup(second, store)
    with pytest.raises(Conflict, match="restored from another database"):
        await restore(second, target)


async def test_source_that_was_put_back_and_went_on_otherwise(new_database: NewDatabase) -> None:
    original, target, store = await new_database(SCHEMA), await new_database(), MemoryStore()
    await original.transact_edn([*PEOPLE[:1], '[{:p/name "what was"}]'])
    await backup(original, store, name="db")
    await restore(original, target)

    def otherwise(rows: list[Row]) -> list[Row]:
        return [
            (
                tx,
                (
                    e,
                    a,
                    kind,
                    raw + 1 if kind == "i" and isinstance(raw, int) and tx == t_to_tx(8) else raw,
                    added,
                ),
            )
            for tx, (e, a, kind, raw, added) in rows
        ]

    with pytest.raises(Conflict, match="have diverged: t 8"):
        await backup(AlteredDatabase(original, otherwise), store, name="db")
    with pytest.raises(Conflict, match="have diverged: t 8"):
        await restore(AlteredDatabase(original, otherwise), target)


@both_engines
async def test_live_source_that_was_put_back(new_database: NewDatabase) -> None:
    """Nothing of it is new to the target; that is not the same as being done."""
    original, target = await new_database(SCHEMA), await new_database()
    earlier = await original.basis_t()
    await original.transact_edn(PEOPLE[:2])
    await restore(original, target)
    newest = await original.basis_t()
    with pytest.raises(Conflict, match=f"ends at t {earlier}, before t {newest}") as caught:
        await restore(EndingAt(original, earlier), target)
    assert caught.value.exit_code == 13
    assert "rolled back" in caught.value.hint


async def test_a_newest_segment_without_transactions_hides_no_other_past(new_database: NewDatabase) -> None:
    """The peer's t is sparse."""
    original, store = await new_database(SCHEMA, *PEOPLE[:4], of=PEER), MemoryStore()
    _, chunk = await original.read_log(0, await original.basis_t() + 1, size=100_000)
    ts = list(map(tx_to_t, chunk.txs()))
    before = next(t for t, after in pairwise(ts) if after > t + 1)
    await backup(original, store, name="db", end_t=before + 2, segment_size=before + 1)
    assert max(await load(store)) == SegmentRange(before + 1, before + 2).key

    def otherwise(rows: list[Row]) -> list[Row]:
        return [
            (tx, (e, a, kind, raw + 1 if kind == "i" and isinstance(raw, int) else raw, added))
            for tx, (e, a, kind, raw, added) in rows
        ]

    with pytest.raises(Conflict, match=r"have diverged: t \d+ differs"):
        await backup(AlteredDatabase(original, otherwise), store, name="db")


async def test_an_empty_database_under_the_name_of_a_backup(new_database: NewDatabase) -> None:
    original, empty, store = await new_database(SCHEMA), await new_database(), MemoryStore()
    assert (await backup(empty, store, name="db")).segments == []
    await backup(original, store, name="db")
    with pytest.raises(Conflict, match="goes up to t 6, but") as caught:
        await backup(empty, store, name="db")
    assert "rolled back" in caught.value.hint


async def test_others_that_began_later_and_were_faster(new_database: NewDatabase) -> None:
    """The source goes on between the job's first look at it and its look at what was written."""
    source, target, store = await new_database(SCHEMA, *PEOPLE[:2]), await new_database(), MemoryStore()
    earlier = await source.basis_t()
    await source.transact_edn(PEOPLE[2:4])
    await backup(source, store, name="db")
    await restore(source, target)

    class Late(DatabaseWrapper):
        asked = 0

        async def basis_t(self) -> int:
            self.asked += 1
            return earlier if self.asked == 1 else await self.inner.basis_t()

    report = await backup(Late(source), store, name="db")
    assert (report.segments, report.missing) == ([], [])
    with pytest.raises(Overtaken, match="has gone on since"):
        await restore(Late(source), target)


async def test_source_that_went_on_without_the_targets_newest(new_database: NewDatabase) -> None:
    """As Pro can: its t is sparse."""
    original, target = await new_database(SCHEMA, *PEOPLE[:2]), await new_database()
    await restore(original, target)
    newest = t_to_tx(await original.basis_t())
    await original.transact_edn(PEOPLE[4:5])

    def without(rows: list[Row]) -> list[Row]:
        return [row for row in rows if row[0] != newest]

    with pytest.raises(Conflict, match="have diverged: t 8 is in the first one only"):
        await restore(AlteredDatabase(original, without), target)


async def test_target_with_data_of_its_own(new_database: NewDatabase) -> None:
    source, target = await new_database(*ODD), await new_database(SCHEMA)
    with pytest.raises(Conflict, match="data of its own, from t 6 to 6"):
        await restore(source, target)


@both_engines
async def test_target_written_to_since(new_database: NewDatabase) -> None:
    source, target = await new_database(*ODD), await new_database()
    await restore(source, target)
    await target.transact_edn(['[{:db/id "new" :db/doc "written by hand"}]'])
    await source.transact_edn(['[{:db/id "new" :db/doc "one more"}]'])
    with pytest.raises(Conflict, match="not written by a restore"):
        await restore(source, target)
    assert any("no restore wrote" in problem for problem in (await verify(source, against=target)).problems)


@both_engines
async def test_target_of_another_source(new_database: NewDatabase) -> None:
    first, second, target = await new_database(*ODD), await new_database(*ODD), await new_database()
    await restore(first, target)
    with pytest.raises(Conflict, match="restored from another database"):
        await restore(second, target)


async def test_backup_older_than_the_target(new_database: NewDatabase) -> None:
    source, target, store = await new_database(SCHEMA), await new_database(), MemoryStore()
    await backup(source, store)
    await source.transact_edn(PEOPLE)
    await restore(source, target)
    with pytest.raises(Conflict, match="ends at t 6, before t"):
        await restore(store, target)


@pytest.mark.parametrize("damage", ["truncated", "empty", "altered"])
async def test_nothing_of_a_damaged_segment_is_restored(
    new_database: NewDatabase, tmp_path: Path, damage: str
) -> None:
    source, target = await new_database(*ODD), await new_database()
    await backup(source, str(tmp_path), name="db", segment_size=10)
    segments = sorted((tmp_path / "db").glob("*.parquet"))
    whole = segments[1].read_bytes()
    middle = len(whole) // 2
    segments[1].write_bytes(
        {
            "truncated": whole[:-9],
            "empty": b"",
            "altered": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        }[damage]
    )

    with pytest.raises(SegmentDamaged, match=segments[1].name):
        await restore(str(tmp_path), target)
    assert (await verify(str(tmp_path))).problem_count == 1
    segments[1].write_bytes(whole)
    report = await restore(str(tmp_path), target)

    assert report.first_t == 9, "the segment before it, up to t 9, is there"
    assert (await verify(source, against=target)).problems == []


async def test_all_before_a_damaged_segment_is_restored_though_it_is_read_long_before(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    source, target = await new_database(*ODD), await new_database()
    await backup(source, str(tmp_path), name="db", segment_size=4)
    *_, last = segments = sorted((tmp_path / "db").glob("*.parquet"))
    whole = last.read_bytes()
    last.write_bytes(whole[:-9])

    with pytest.raises(SegmentDamaged, match=last.name):
        await restore(str(tmp_path), target, in_flight=1)
    last.write_bytes(whole)
    report = await restore(str(tmp_path), target)

    assert report.first_t == 4 * (len(segments) - 1) - 1
    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize(("number", "missing", "place"), [(0, "0 to 9", "head"), (1, "10 to 19", "middle")])
async def test_gap_is_refused_and_the_next_backup_fills_it(
    new_database: NewDatabase, tmp_path: Path, number: int, missing: str, place: str
) -> None:
    source, target = await new_database(*ODD), await new_database()
    await backup(source, str(tmp_path), name="db", segment_size=10)
    sorted((tmp_path / "db").glob("*.parquet"))[number].unlink()

    with pytest.raises(SegmentGap, match=f"no segment holds t {missing}"):
        await restore(str(tmp_path), target)
    assert (await verify(str(tmp_path))).problems == [f"no segment holds t {missing} (the {place})"]
    filled = await backup(source, str(tmp_path), name="db", segment_size=10)

    assert len(filled.segments) == 1
    assert (await verify(str(tmp_path))).problems == []


async def test_disk_full_while_publishing(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await new_database(*ODD)
    fsync, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFailed, match="No space left"):
        await backup(source, FilesystemStore(tmp_path / "store"), name="db", segment_size=4, parallel=1)
    monkeypatch.undo()

    before = sorted(path.name for path in (tmp_path / "store" / "db").iterdir())
    assert before
    assert all(name.endswith((".parquet", BACKUP_JSON)) for name in before), "no unfinished file is left"
    await backup(source, str(tmp_path / "store"), name="db", segment_size=4)
    assert (await verify(str(tmp_path / "store"))).problems == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"in_flight": 0},
        {"in_flight": -1},
        {"in_flight": 10**9},
        {"prefetch_bytes": 0},
        {"prefetch_bytes": 10**15},
    ],
    ids=str,
)
async def test_absurd_windows_and_budgets_are_refused(
    new_database: NewDatabase, arguments: dict[str, int]
) -> None:
    with pytest.raises(UsageError, match="must be an integer, from 1 to"):
        await restore(MemoryStore(), await new_database(), **arguments)  # type: ignore[arg-type]  # a number


@pytest.mark.parametrize(
    "arguments",
    [
        {"chances": {"gremlins": 0.5}},
        {"chances": {"busy": 1.5}},
        {"kill_at": ("somewhere", 1)},
        {"kill_at": ("after-submit", 0)},
        {"round_trip_s": -1.0},
    ],
    ids=str,
)
def test_unknown_faults_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Faults(**arguments)  # type: ignore[arg-type]  # that is the point


async def test_a_faulty_store_is_a_store() -> None:
    """Without faults it is the store, with them it raises what a real one raises."""
    store = MemoryStore()
    await FaultyStore(store, Faults()).publish("a", "1.parquet", b"one")
    assert await FaultyStore(store, Faults(round_trip_s=0.001)).read("a", "1.parquet") == b"one"
    lossy = FaultyStore(store, Faults(chances={"lost-after": 1}))
    with pytest.raises(Unavailable):
        await lossy.publish("a", "2.parquet", b"two")
    assert await store.read("a", "2.parquet") == b"two"
    assert lossy.happened["lost-after"] == 1
