"""A log that is read wrong for a while: nothing that lacks a transaction is published or restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.checked import CheckedDatabase
from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import Unavailable
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import tx_to_t
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.support.altered import chunk_of
from tests.support.damage import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import LogChunk
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

NUMBER = "[{:db/ident :n/n :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]"
HISTORY = (NUMBER, *(f"[{{:n/n {n}}}]" for n in range(20)))


class Forgetful(DatabaseWrapper):
    """A database whose log comes without some transactions the first `times` that it is read."""

    def __init__(self, inner: Database, *forgotten: int, times: int) -> None:
        super().__init__(inner)
        self.forgotten, self.times = forgotten, times

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        next_t, chunk = await self.inner.read_log(start, end, size=size)
        self.times -= 1
        if self.times < 0:
            return next_t, chunk
        return next_t, chunk_of(row for row in chunk.rows() if tx_to_t(row[0]) not in self.forgotten)


async def _ts(database: Database) -> Sequence[int]:
    return await database.transaction_ts(0, await database.basis_t() + 1)


@pytest.mark.parametrize("place", [-1, -10, -21], ids=["newest", "middle", "first"])
@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_a_log_that_lacks_a_transaction_is_read_again(new_database: NewDatabase, place: int) -> None:
    source, store, target = await new_database(*HISTORY), MemoryStore(), await new_database()
    t = (await _ts(source))[place]

    await backup(Forgetful(source, t, times=3), store)

    assert (await verify(store, live=source)).ok
    await restore(Forgetful(source, t, times=3), target)
    assert (await verify(source, against=target)).ok


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_a_log_that_stays_wrong_is_refused(new_database: NewDatabase) -> None:
    source, store, target = await new_database(*HISTORY), MemoryStore(), await new_database()
    *_, before, newest = await _ts(source)
    forgetful = CheckedDatabase(Forgetful(source, before, newest, times=1000), reread_s=0.1)

    with pytest.raises(Unavailable, match=f"lacks t {before}, {newest}, which the database has"):
        await backup(forgetful, store)
    assert await load(store) == {}
    with pytest.raises(Unavailable, match=f"lacks t {before}, {newest}"):
        await restore(forgetful, target)
    assert len(await _ts(target)) <= len(await _ts(await new_database())) + 2, "the bookkeeping at most"


@pytest.mark.parametrize("engine", [PEER])  # where t is consecutive, the index is arithmetic
async def test_the_basis_t_is_there_although_log_and_index_lack_it(new_database: NewDatabase) -> None:
    source, store = await new_database(*HISTORY), MemoryStore()
    *_, newest = await _ts(source)

    class Behind(Forgetful):
        async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
            return [t for t in await self.inner.transaction_ts(start, end) if t != newest]

    database = CheckedDatabase(Behind(source, newest, times=1000), reread_s=0)
    with pytest.raises(Unavailable, match=f"lacks t {newest}, which the database has"):
        await backup(database, store)
    assert await load(store) == {}


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_each_error_says_how_the_log_differs(new_database: NewDatabase) -> None:
    class Doubled(DatabaseWrapper):
        async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
            next_t, chunk = await self.inner.read_log(start, end, size=size)
            return next_t, chunk_of([*chunk.rows(), *chunk.rows()])

    class Invented(DatabaseWrapper):
        async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
            return [t for t in await self.inner.transaction_ts(start, end) if t != newest]

    source = await new_database(*HISTORY)
    *_, before, newest = await _ts(source)
    for database, problem in (
        (Doubled(source), "out of order, or one of them twice"),
        (Invented(source), f"has t {newest}, which the database does not have"),
    ):
        with pytest.raises(Unavailable, match=problem):
            await CheckedDatabase(database, reread_s=0).read_log(before, newest + 1, size=1000)
