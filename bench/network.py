"""How long the network of `asyncrestore.testing` really takes: an event loop's timers count milliseconds."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, cast

from asyncrestore.model.commit import BatchResult, TxData
from asyncrestore.testing import faulty_database

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.testing import Faults

TRANSACTIONS = 60


class _Nothing:
    """A database that does nothing, at once; only what a measurement needs."""

    name = uri = "nothing"
    identity = None
    ordered = True

    async def submit(self, batch: object) -> _Nothing:
        del batch
        return self

    async def result(self) -> BatchResult:
        return BatchResult([])


async def measured_round_trip_ms(faults: Faults) -> float:
    """Median of the milliseconds from sending a transaction to its answer, one after the other."""
    spent = []
    async with faulty_database(cast("Database", _Nothing()), faults) as far:
        for _ in range(TRANSACTIONS):
            started = perf_counter()
            await (await far.submit([TxData(0, [], [], None)])).result()
            spent.append((perf_counter() - started) * 1000)
    return round(median(spent), 3)
