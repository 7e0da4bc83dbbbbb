"""Durable databases of Datomic Local on a file system that is full: here, a process that may write no more.

A limit on the size of the JVM's files makes the same failures as a full disk or a quota: a write that is cut
short, then an error. It needs no file system of its own, and can be lifted.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.local_files import torn_end
from asyncrestore.datomic.uri import LOCAL
from asyncrestore.errors import DatabaseFailed
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.datomic.database import Connector
    from tests.support.databases import NewDatabase

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process"),
]

MANY = [f'[{{:p/email "m{i}@x" :p/name "{"long " * 100}"}}]' for i in range(30)]


@contextmanager
def files_end_at(pid: int, size: int) -> Iterator[None]:
    """A process cannot make a file longer than `size` bytes."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


async def store_of(new_database: NewDatabase) -> MemoryStore:
    """A backup of a database with long texts."""
    store = MemoryStore()
    await backup(await new_database(SCHEMA, *PEOPLE, *MANY), store)
    return store


SIZES = [4, 2000, 8000, 8600, 9000, 12_000, 20_000]
"""A new database of Local has some 8,500 bytes, and what is installed in it 1,000 more."""


async def test_the_same_call_continues_after_the_disk_was_full(
    new_database: NewDatabase, connector: Connector, tmp_path: Path
) -> None:
    """While the database is made, while its bookkeeping is installed, while transactions are restored."""
    store = await store_of(new_database)
    uris = [f"datomic:local://s/db{size}?storage-dir={tmp_path}" for size in SIZES]
    async with open_connector() as own:
        pid = (await own.bridge(LOCAL)).pid
        for size, uri in zip(SIZES, uris, strict=True):
            with (
                files_end_at(pid, size),
                pytest.raises(DatabaseFailed, match="bytes could be written") as full,
            ):
                await restore(store, await own.open(uri, create=True))
            assert str(tmp_path / "s" / f"db{size}") in str(full.value)
            assert full.value.exit_code == 1
            await restore(store, await own.open(uri, create=True))
    # Another process sees what is in the files.
    for uri in uris:
        assert (await verify(store, against=await connector.open(uri))).problems == []


async def test_a_transaction_that_cannot_be_written_leaves_nothing(
    new_database: NewDatabase, connector: Connector, tmp_path: Path
) -> None:
    """Neither one of which a part was written, nor one of which nothing was."""
    log = tmp_path / "s" / "db" / "db.log"
    store, pid = await store_of(new_database), (await connector.bridge(LOCAL)).pid
    target = await connector.open(f"datomic:local://s/db?storage-dir={tmp_path}", create=True)
    for size, reason in ((15_000, r"only \d+ of \d+ bytes"), (None, "File too large")):
        with (
            files_end_at(pid, size or log.stat().st_size),
            pytest.raises(DatabaseFailed, match=rf"could not write source t \d+: .*{reason}") as full,
        ):
            await restore(store, target)
        assert "the same command again: it continues" in full.value.hint
        assert await to_thread.run_sync(torn_end, log.parent) is None
        assert log.with_name("log.idx").stat().st_size == 8 * (await target.basis_t() + 1)


@pytest.fixture(scope="module")
async def files(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> tuple[Path, MemoryStore]:
    """The directory of a restored database that no process has open, and the backup it was restored from."""
    assert anyio_backend == "asyncio"
    directory, store = tmp_path_factory.mktemp("files"), MemoryStore()
    async with open_connector() as own:
        source = await own.open("datomic:local://s/source?storage-dir=:mem", create=True)
        await source.transact_edn([SCHEMA, *PEOPLE, *MANY])
        await backup(source, store)
        await restore(store, await own.open(f"datomic:local://s/db?storage-dir={directory}", create=True))
    return directory / "s" / "db", store


def ends(directory: Path) -> tuple[int, int]:
    """Where the newest transaction begins in db.log, and where the file ends."""
    index = (directory / "log.idx").read_bytes()
    return int.from_bytes(index[-8:]), (directory / "db.log").stat().st_size


def test_a_torn_end_is_found_wherever_it_was_cut(files: tuple[Path, MemoryStore], tmp_path: Path) -> None:
    """Also with the entries that further attempts leave in log.idx."""
    directory = Path(shutil.copytree(files[0], tmp_path / "db"))
    log, index = directory / "db.log", directory / "log.idx"
    start, size = ends(directory)
    whole, entries = log.read_bytes(), index.read_bytes()
    assert torn_end(directory) is None
    for end in [*range(start, size, 7), size - 1]:
        log.write_bytes(whole[:end])
        for attempts in range(3):
            index.write_bytes(entries + attempts * end.to_bytes(8))
            torn = torn_end(directory)
            assert torn is not None
            assert (torn.log_end, torn.index_end, torn.t) == (start, len(entries) - 8, len(entries) // 8 - 2)
            assert (torn.behind, torn.cut) == (1 + attempts, False)


async def test_a_log_that_lacks_committed_transactions(
    connector: Connector, files: tuple[Path, MemoryStore], tmp_path: Path
) -> None:
    """As a copy of the files does that was cut off: to cut log.idx too would hide the loss."""
    directory = Path(shutil.copytree(files[0], tmp_path / "s" / "db"))
    index = (directory / "log.idx").read_bytes()
    lost = 5
    os.truncate(directory / "db.log", int.from_bytes(index[-8 * lost :][:8]) + 3)
    with pytest.raises(DatabaseFailed, match="lacks the end of its log") as error:
        await connector.open(f"datomic:local://s/db?storage-dir={tmp_path}")
    assert f"Up to {lost} transactions after t {len(index) // 8 - lost - 1} are lost" in error.value.hint
    assert "truncate" not in error.value.hint


async def test_the_hint_at_a_torn_end_makes_it_whole(
    connector: Connector, files: tuple[Path, MemoryStore], tmp_path: Path
) -> None:
    directory, store = Path(shutil.copytree(files[0], tmp_path / "s" / "a db")), files[1]
    uri = f"datomic:local://s/a%20db?storage-dir={tmp_path}"
    start, size = ends(directory)
    os.truncate(directory / "db.log", (start + size) // 2)

    with pytest.raises(DatabaseFailed, match="ends within the transaction after t") as torn:
        await connector.open(uri)
    assert torn.value.exit_code == 1
    cuts = re.findall(r"truncate -s (\d+) '(.+)'", torn.value.hint)
    for length, path in cuts:
        os.truncate(path, int(length))

    assert len(cuts) == 2
    target = await connector.open(uri)
    assert (await restore(store, target)).transactions == 1
    assert (await verify(store, against=target)).problems == []
