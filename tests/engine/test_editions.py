"""Between Datomic Local and Datomic Pro: what both can hold is identical there and back; the rest is refused."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import TransactionRejected
from asyncrestore.ids import INDEX_BITS
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, PEOPLE, PRO, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.database import BridgeDatabase

    NewDatabase = Callable[..., Awaitable[BridgeDatabase]]

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("here", "there"), [(LOCAL, PEER), (PEER, LOCAL)])
async def test_odd_history_goes_there_and_back(new_database: NewDatabase, here: str, there: str) -> None:
    source, middle, back = (
        await new_database(*ODD, of=here),
        await new_database(of=there),
        await new_database(of=here),
    )
    store = MemoryStore()
    await backup(source, store, segment_size=7)

    await restore(store, middle)
    await restore(middle, back)

    assert (await verify(source, against=middle)).problems == []
    assert (await verify(store, against=middle)).problems == []
    assert (await verify(middle, against=back)).problems == []
    assert await _values(back) == await _values(source)


async def _values(database: BridgeDatabase) -> list[list[tuple[str, object]]]:
    """The values of each transaction, without references and bookkeeping: the same in every copy of a copy."""
    _, log = await database.read_log(0, await database.basis_t() + 1, size=1_000_000)
    own = {"asyncrestore/original-id", "asyncrestore/successor"}
    idents = {
        e: str(raw)
        for _, (e, _, kind, raw, added) in (await database.schema_history()).rows()
        if kind == "k" and added
    }
    return [
        sorted(
            (kind, raw)
            for _, a, kind, raw, _ in transaction.datoms
            if kind not in "rt" and idents[a] not in own
        )
        for transaction in itertools.islice(reversed(list(log.transactions())), len(ODD))
    ]


async def test_what_only_pro_has_goes_through_a_store(new_database: NewDatabase) -> None:
    """Bytes, long strings, functions, indexes, full text, partitions, a schema entity made before its schema."""
    source, target = await new_database(*PRO, of=PEER), await new_database(of=PEER)
    store = MemoryStore()
    await backup(source, store)

    report = await restore(store, target)

    assert report.transactions == len(PRO)
    assert (await verify(store, against=target)).problems == []
    assert (await verify(source, against=target)).problems == []
    bytes_ = await target.query('[:find ?blob :where [?e :pro/name "bytes"] [?e :pro/blob ?blob]]')
    assert bytes_ == [(b"\x02",)]
    await target.transact_edn(['[[:pro/make "by the function"]]'])
    assert await target.query('[:find ?e :where [?e :pro/name "by the function"]]')


async def test_entities_keep_their_partitions(new_database: NewDatabase) -> None:
    source, target = await new_database(*PRO, of=PEER), await new_database(of=PEER)
    # One at a time: a partition is used only once the target is known to have it.
    await restore(source, target)
    query = "[:find ?name ?e :where [?e :pro/name ?name]]"
    there = dict(await source.query(query))
    here = dict(await target.query(query))

    partition = {name: entity >> INDEX_BITS for name, entity in here.items()}
    assert partition["implicit"] == there["implicit"] >> INDEX_BITS == (1 << 19) + 7
    assert partition["bytes"] == there["bytes"] >> INDEX_BITS == 4
