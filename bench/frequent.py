"""Frequent backups of a database with many attributes, and a restore that continues behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.datomic.database import open_connector
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.restore import restore

if TYPE_CHECKING:
    from bench.children import Result

SINGLY = 5
"""How many increments are backed up each by itself. The others come from one backup in pieces of one t."""

AT_ONCE = 1_000
_TYPES = ("string", "long", "ref", "boolean", "instant", "keyword")


def _attribute(number: int) -> str:
    return (
        f"{{:db/ident :shop.module{number % 40}/field-{number} :db/valueType :db.type/{_TYPES[number % 6]}"
        f" :db/cardinality :db.cardinality/{'many' if number % 5 == 0 else 'one'}"
        f' :db/doc "Field {number} of module {number % 40}: what it holds, and who fills it in."}}'
    )


async def increments(store: str, attributes: int, count: int) -> Result:
    """Makes a database of attributes with docs, and a backup of it; then increments of one datom each."""
    async with open_connector() as connector:
        database = await connector.open("datomic:local://bench/frequent?storage-dir=:mem", create=True)
        made = [_attribute(number) for number in range(attributes)]
        pieces = [made[at : at + AT_ONCE] for at in range(0, attributes, AT_ONCE)]
        await database.transact_edn([f"[{' '.join(piece)}]" for piece in pieces])
        first = await backup(database, store)
        sizes, seconds = [], []
        for number in range(SINGLY):
            await database.transact_edn([_datom(number)])
            report = await backup(database, store)
            sizes.append(report.bytes)
            seconds.append(report.seconds)
        await database.transact_edn([_datom(number) for number in range(SINGLY, count)])
        await backup(database, store, segment_size=1)
        return {"first_bytes": first.bytes, "bytes": sizes, "backup_seconds": seconds}


def _datom(number: int) -> str:
    return f'[[:db/add "new" :shop.module0/field-0 "value {number}"]]'


async def continued(store: str) -> Result:
    """Restores all but the last transaction, then, timed, the last one: a restore that continues."""
    found = await info(store)
    assert isinstance(found, StoreInfo)
    async with open_connector() as connector:
        target = await connector.open("datomic:local://bench/target?storage-dir=:mem", create=True)
        await restore(store, target, until_t=found.backups[0].end - 2)
        report = await restore(store, target)
        return {"seconds": report.seconds, "transactions": report.transactions}
