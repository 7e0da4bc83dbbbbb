"""The last stage: what becomes of batches when something is in their way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncrestore.datomic.uri import ENGINES
from asyncrestore.errors import Conflict, Overtaken, TransactionRejected
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model import tx_to_t
from asyncrestore.pipeline.stages import BATCH_TRANSACTIONS
from asyncrestore.stores.memory import MemoryStore
from tests.altered import AlteredDatabase
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncrestore.datomic.base import Submission
    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from asyncrestore.model import TxData
    from tests.altered import Row

    NewDatabase = Callable[..., Awaitable[BridgeDatabase]]

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", ENGINES)]

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


async def test_rejected_in_the_middle_of_what_is_in_flight(new_database: NewDatabase) -> None:
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
    with pytest.raises(TransactionRejected) as caught:
        await restore(store, target)

    assert caught.value.t == tx_to_t(bad)
    _, chunk = await target.read_log(await target.basis_t(), await target.basis_t() + 1, size=1)
    before = log.txs()[log.txs().index(bad) - 1]
    assert before in chunk.numbers, "the one before is the last in the target"


async def test_two_restores_at_once(connector: Connector, new_database: NewDatabase, memory_uri: str) -> None:
    """Each transaction lands once; the one that was overtaken says so."""
    source = await new_database(SCHEMA, *PEOPLE, *MANY)
    lost: list[Overtaken] = []

    async def one() -> None:
        try:
            await restore(source, await connector.open(memory_uri, create=True))
        except Overtaken as error:
            lost.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)
    target = await connector.open(memory_uri)
    await restore(source, target)

    assert lost
    assert lost[0].exit_code == 11
    assert (await verify(source, against=target)).problems == []


class Interfered:
    """A target into which somebody else writes just before the third batch of ours."""

    def __init__(self, inner: BridgeDatabase) -> None:
        self._inner = inner
        self._batches = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        self._batches += 1
        if self._batches == 5:
            await self._inner.transact_edn(['[[:db/add "datomic.tx" :db/txInstant #inst "1970-01-03"]]'])
        return await self._inner.submit(batch)


async def test_foreign_write_between_two_of_ours_is_noticed(new_database: NewDatabase) -> None:
    """Ours carry on right behind it, for its instant is not newer: only the target's t tells."""
    old = '[:db/add "datomic.tx" :db/txInstant #inst "1970-01-03"]'
    source = await new_database(*(tx.removesuffix("]") + old + "]" for tx in (SCHEMA, *PEOPLE, *MANY)))
    target = await new_database()
    with pytest.raises(Conflict, match="Somebody else wrote") as caught:
        await restore(source, Interfered(target))
    assert caught.value.exit_code == 13
