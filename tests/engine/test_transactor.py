"""The last stage: batches that something gets in the way of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.uri import PEER
from asyncrestore.errors import Conflict, Overtaken, TransactionRejected
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import tx_to_t
from asyncrestore.pipeline.stages import BATCH_TRANSACTIONS
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper, Faults, faulty_database
from tests.histories import PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase
from tests.support.engines import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Submission
    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.model.commit import TxData
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", IN_MEMORY)]

MANY = [
    f'[{{:p/email "m{i}@x" :p/name "{i}" :p/boss [:p/email "ann@x"]}}]'
    for i in range(10 * BATCH_TRANSACTIONS)
]


async def test_references_to_what_never_had_datoms(new_database: NewDatabase) -> None:
    """Ids that no entity has, looking old and new; the same one twice, and in several batches in flight."""
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    ids = [(17 << 42) + 74, (23 << 42) + 80, (17 << 42) + 10**9, (4715 << 42) + 5]
    refs = [f'[[:db/add [:p/email "ann@x"] :p/friend {i}] [:db/add [:p/code 1] :p/friend {i}]]' for i in ids]
    await source.transact_edn([*refs, *MANY[:200], *refs[:1], f'[{{:p/name "last" :p/friend [{ids[3]}]}}]'])

    await restore(source, target)

    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("ordered", [True, False])
async def test_rejected_in_the_middle_of_a_full_window(new_database: NewDatabase, ordered: bool) -> None:
    """The one true error, not those of the cascade behind it; and nothing of that is there."""
    source, target, store = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database(), MemoryStore()
    name = str(3 * BATCH_TRANSACTIONS)
    _, log = await source.read_log(0, await source.basis_t() + 1, size=1_000_000)
    bad = next(tx for tx, (_, _, _, raw, _) in log.rows() if raw == name)

    def of_another_type(rows: list[Row]) -> list[Row]:
        return [
            (tx, (e, a, "l", 7, added) if raw == name else (e, a, kind, raw, added))
            for tx, (e, a, kind, raw, added) in rows
        ]

    await backup(AlteredDatabase(source, of_another_type), store, name="db")
    async with faulty_database(target, Faults(ordered=ordered)) as way:
        with pytest.raises(TransactionRejected, match=f"refused source t {tx_to_t(bad)}:") as caught:
            await restore(store, way, in_flight=128)

    assert (caught.value.t, caught.value.exit_code) == (tx_to_t(bad), 15)
    _, chunk = await target.read_log(await target.basis_t(), await target.basis_t() + 1, size=1)
    before = log.txs()[log.txs().index(bad) - 1]
    assert before in chunk.numbers, "the one before is the last in the target"


class FirstOfABatchOvertaken(DatabaseWrapper):
    """A target into which another restore commits the first transaction of each batch just before us."""

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        await (await self.inner.submit(batch[:1])).result()
        return await self.inner.submit(batch)


async def test_what_commits_behind_one_that_was_overtaken(new_database: NewDatabase, engine: str) -> None:
    """The peer has begun ours by then. So the newest is ours, and we go on; else both might stop."""
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    if engine == PEER:
        await restore(source, FirstOfABatchOvertaken(target))
    else:
        with pytest.raises(Overtaken):
            await restore(source, FirstOfABatchOvertaken(target))
        await restore(source, target)
    assert (await verify(source, against=target)).problems == []


class Interfered(DatabaseWrapper):
    """A target into which somebody else writes just before one batch of ours."""

    def __init__(self, inner: BridgeDatabase, writes: str, *, before: int = 5) -> None:
        super().__init__(inner)
        self._writes = writes
        self._before = before
        self._batches = 0

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        self._batches += 1
        if self._batches == self._before:
            await self.inner.transact_edn([self._writes])
        return await self.inner.submit(batch)


async def test_foreign_write_between_two_of_ours_is_noticed(new_database: NewDatabase) -> None:
    """Ours commit right behind it, because its instant is not newer: only the target's t shows it."""
    old = '[:db/add "datomic.tx" :db/txInstant #inst "1970-01-03"]'
    source = await new_database(*(tx.removesuffix("]") + old + "]" for tx in (SCHEMA, *PEOPLE, *MANY)))
    target = await new_database()
    with pytest.raises(Conflict, match="Somebody else wrote") as caught:
        await restore(source, Interfered(target, f"[{old}]"))
    assert caught.value.exit_code == 13


async def test_foreign_write_of_now_is_told_as_that(new_database: NewDatabase) -> None:
    """Ours are older, so the target refuses them; but the foreign write is the cause to report."""
    source, target = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database()
    with pytest.raises(Conflict, match="Somebody else wrote") as caught:
        await restore(source, Interfered(target, '[{:db/id "new" :db/doc "by hand"}]'))
    assert caught.value.exit_code == 13


class WrittenToAtTheEnd(DatabaseWrapper):
    """A target into which somebody else writes when a restore is just about to be done."""

    def __init__(self, inner: BridgeDatabase, end: int) -> None:
        super().__init__(inner)
        self._left = end

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        self._left -= len(batch)
        submission = await self.inner.submit(batch)
        if not self._left:
            await submission.result()
            await self.inner.transact_edn(['[{:db/id "new" :db/doc "by hand"}]'])
        return submission


async def test_foreign_write_after_the_last_of_ours_is_noticed(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    with pytest.raises(Conflict, match="Somebody else wrote"):
        await restore(source, WrittenToAtTheEnd(target, 1 + len(PEOPLE)))
