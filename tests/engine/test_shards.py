"""Several writers of one backup end in what one writer makes, each segment written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import anyio
import pytest

from asyncrestore.errors import Conflict, UsageError
from asyncrestore.jobs.backup import BackupReport, backup
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.damage import NAME, begin, load

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.base import Database
    from asyncrestore.jobs.opening import AnyStore
    from tests.support.databases import NewDatabase
    from tests.support.s3 import Bucket

pytestmark = pytest.mark.anyio

SIZE = 3


async def all_shards(source: Database, store: AnyStore, shards: int) -> list[BackupReport]:
    """All shards at once."""
    reports: list[BackupReport] = []

    async def run(shard: int) -> None:
        reports.append(
            await backup(source, store, name=NAME, segment_size=SIZE, shard=(shard, shards), parallel=1)
        )

    async with anyio.create_task_group() as tasks:
        for shard in range(shards):
            tasks.start_soon(run, shard)
    return reports


@pytest.mark.parametrize("shards", [1, 2, 3, 20])
async def test_shards_end_in_what_one_makes(new_database: NewDatabase, tmp_path: Path, shards: int) -> None:
    source, one = await new_database(*ODD), MemoryStore()
    await begin(one)
    await backup(source, one, name=NAME, segment_size=SIZE)
    wanted = await load(one)
    store = FilesystemStore(tmp_path)
    await begin(store)

    reports = await all_shards(source, store, shards)

    assert await load(store) == wanted
    written = [range_.key for report in reports for range_ in report.segments]
    assert sorted(written) == sorted(wanted), "each once"
    assert (await verify(store, live=source)).ok
    assert all(not report.segments for report in await all_shards(source, store, shards))


async def test_shards_on_s3(new_database: NewDatabase, bucket: Bucket) -> None:
    source, one = await new_database(SCHEMA, *PEOPLE), MemoryStore()
    await begin(one)
    await backup(source, one, name=NAME, segment_size=SIZE)
    reports = await all_shards(source, bucket.uri(), 3)
    written = [range_.key for report in reports for range_ in report.segments]
    assert sorted(written) == sorted(await load(one))
    assert (await verify(bucket.uri(), live=source)).problems == []


async def test_one_shard_alone_says_what_is_missing(new_database: NewDatabase) -> None:
    source, store = await new_database(*ODD), MemoryStore()
    report = await backup(source, store, name=NAME, segment_size=SIZE, shard=(1, 2))
    assert report.missing[0].start == 0
    assert all(range_.start // SIZE % 2 == 1 for range_ in report.segments)
    await backup(source, store, name=NAME, segment_size=SIZE)
    assert (await verify(store, live=source)).ok


async def test_a_shard_that_is_ahead_leaves_no_gap_to_others(new_database: NewDatabase) -> None:
    """The source was written to since the other one began: what is between is not its own to copy."""
    source, store = await new_database(SCHEMA, *PEOPLE), MemoryStore()
    newest = await source.basis_t()

    class Early(DatabaseWrapper):
        """A backup of it begins before the last transactions."""

        basis: ClassVar = [newest - 2 * SIZE]

        async def basis_t(self) -> int:
            return self.basis.pop() if self.basis else await self.inner.basis_t()

    await backup(source, store, name=NAME, segment_size=SIZE, shard=(newest // SIZE % 2, 2))
    report = await backup(Early(source), store, name=NAME, segment_size=SIZE)
    assert (report.missing, report.end) == ([], newest - 2 * SIZE + 1)


async def test_fifty_times_two_at_once(new_database: NewDatabase, tmp_path: Path) -> None:
    source, one = await new_database(SCHEMA, *PEOPLE), MemoryStore()
    await begin(one)
    await backup(source, one, name=NAME, segment_size=SIZE)
    wanted = await load(one)
    for number in range(50):
        store = FilesystemStore(tmp_path / str(number))
        if number % 2:
            await begin(store)
        reports: list[BackupReport] = []

        async def run(store: FilesystemStore = store, reports: list[BackupReport] = reports) -> None:
            reports.append(await backup(source, store, name=NAME, segment_size=SIZE))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            tasks.start_soon(run)
        now = await load(store)
        assert now == wanted if number % 2 else (await verify(store)).ok
        written = [range_.key for report in reports for range_ in report.segments]
        assert sorted(written) == sorted(wanted), "each is one's"


async def test_another_database_s_shard_is_refused(new_database: NewDatabase) -> None:
    source, other, store = await new_database(*ODD), await new_database(SCHEMA), MemoryStore()
    await backup(source, store, name=NAME, segment_size=SIZE, shard=(0, 2))
    with pytest.raises(Conflict, match="another database"):
        await backup(other, store, name=NAME, segment_size=SIZE, shard=(1, 2))


@pytest.mark.parametrize("shard", [(-1, 2), (2, 2), (0, 0)])
async def test_no_such_shard(new_database: NewDatabase, shard: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no shard"):
        await backup(await new_database(), MemoryStore(), shard=shard)
