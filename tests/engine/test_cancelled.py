"""A call that ends before its time, and the next one on the same open database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import PEER
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.testing import DatabaseWrapper
from tests.histories import PEOPLE, SCHEMA
from tests.support.engines import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import Connector
    from asyncrestore.progress import Progress
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

MANY = [f'[{{:p/email "m{i}@x" :p/name "{i}" :p/boss [:p/email "ann@x"]}}]' for i in range(1000)]


@pytest.mark.parametrize("engine", IN_MEMORY)
async def test_a_restore_that_timed_out_goes_on(new_database: NewDatabase) -> None:
    """What it had sent commits later, and is its own: no other restore's."""
    source, target = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database()

    def ends_time(progress: Progress) -> None:
        if progress.transactions:
            time.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as time:
            await restore(source, target, on_progress=ends_time)
    report = await restore(source, target)

    assert report.transactions < len(MANY)
    assert (await verify(source, against=target)).problems == []


async def test_a_restore_that_its_caller_ended_goes_on(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database()

    def fails(progress: Progress) -> None:
        if progress.transactions:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await restore(source, target, on_progress=fails)
    await restore(source, target)

    assert (await verify(source, against=target)).problems == []


async def cancel_once_sent(database: Database, transactions: Sequence[str]) -> None:
    """Sends transactions, and is cancelled before the answer."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.transact_edn, transactions)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


class CancelledInstalling(DatabaseWrapper):
    """A target whose restore is cancelled when the bookkeeping has been sent."""

    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        await cancel_once_sent(self.inner, transactions)
        raise TimeoutError


@pytest.mark.parametrize("engine", IN_MEMORY)
async def test_a_restore_that_was_cancelled_while_it_installed(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    with pytest.raises(TimeoutError):
        await restore(source, CancelledInstalling(target))
    await restore(source, target)

    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("engine", IN_MEMORY)
async def test_the_newest_t_counts_what_a_cancelled_call_had_sent(
    new_database: NewDatabase, connector: Connector
) -> None:
    """However the database is asked: whoever opened it again waits, too."""
    database = await new_database(SCHEMA, *PEOPLE)
    again = await connector.open(database.uri)
    await cancel_once_sent(database, MANY)
    newest = await again.basis_t()

    _, chunk = await database.read_log(newest, newest + 1, size=1)
    assert "m999@x" in chunk.texts


SLOW = """[{:db/ident :take/time :db/fn #db/fn
  {:lang :clojure :params [db file] :code (do (Thread/sleep 500) (spit file "landed") [])}}]"""


async def test_what_has_begun_lands_before_the_jvm_ends(tmp_path: Path) -> None:
    """Else the next process meets it, and takes it for another restore."""
    async with open_connector() as own:
        database = await own.open(f"datomic:mem://{PEER}", create=True)
        await database.transact_edn([SLOW])
        await cancel_once_sent(database, [f'[[:take/time "{tmp_path / "file"}"]]'])
    assert (tmp_path / "file").read_text() == "landed"
