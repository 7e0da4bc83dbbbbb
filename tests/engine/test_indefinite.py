"""Answers that leave open whether a transaction committed: the target is read, then it is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.datomic.base import Submission
from asyncrestore.errors import OutcomeUnknown, TransactionRejected
from asyncrestore.jobs.restore import restore
from asyncrestore.model.commit import Anomaly, BatchResult
from asyncrestore.model.log import tx_to_t
from asyncrestore.pipeline.recovery import MAX_UNNAMED_FAULTS
from asyncrestore.testing import DatabaseWrapper
from tests.histories import PEOPLE, SCHEMA
from tests.support.comparison import check_copy
from tests.support.engines import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.model.commit import TxData
    from tests.support.databases import NewDatabase

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", IN_MEMORY)]

MANY = [f'[{{:p/email "m{i}@x" :p/boss [:p/email "ann@x"]}}]' for i in range(60)]

TIMEOUT = Anomaly("unavailable", "Transaction timed out", "transaction-timeout")
ANOMALIES = [
    TIMEOUT,
    Anomaly("interrupted", "interrupted"),
    Anomaly("unavailable", "Total timeout elapsed"),
    Anomaly("fault", "java.util.concurrent.ExecutionException: closed"),
]


class Said(Submission):
    """A submission whose answer is not its real result."""

    def __init__(self, real: Submission | None, result: BatchResult) -> None:
        self._real = real
        self._result = result

    async def result(self) -> BatchResult:
        if self._real:
            await self._real.result()
        return self._result


class Vague(DatabaseWrapper):
    """A target that commits a part of a submission, and does not report how much.

    Args:
        inner: the real one.
        anomaly: what it says instead.
        part: how much of the submission it commits, 0 to 1.
        when: of which submissions, by their first transaction's number in the run.
    """

    def __init__(
        self, inner: BridgeDatabase, anomaly: Anomaly, part: float, when: Callable[[int, TxData], bool]
    ) -> None:
        super().__init__(inner)
        self._anomaly = anomaly
        self._part = part
        self._when = when
        self.submissions = self.said = 0

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        self.submissions += 1
        if not self._when(self.submissions, batch[0]):
            return await self.inner.submit(batch)
        self.said += 1
        part = batch[: round(len(batch) * self._part)]
        return Said(await self.inner.submit(part) if part else None, BatchResult([], self._anomaly))


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("anomaly", ANOMALIES, ids=lambda anomaly: anomaly.message)
async def test_it_is_recovered_within_the_run(
    new_database: NewDatabase, anomaly: Anomaly, part: float
) -> None:
    source, inner = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database()
    target = Vague(inner, anomaly, part, lambda number, _: number in {2, 4})
    report = await restore(source, target, in_flight=32)
    assert target.said == 2
    assert report.last_t == await source.basis_t()
    await check_copy(source, inner)


async def nth(source: BridgeDatabase, number: int) -> int:
    """Id of a transaction of the source."""
    _, log = await source.read_log(0, await source.basis_t() + 1, size=1_000_000)
    return log.txs()[number]


async def test_the_same_fault_again_and_again_is_the_datas(new_database: NewDatabase) -> None:
    source, inner = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database()
    bad = await nth(source, -20)
    target = Vague(inner, ANOMALIES[-1], 0, lambda _, first: first.tx == bad)
    with anyio.fail_after(100), pytest.raises(TransactionRejected, match="ExecutionException") as caught:
        await restore(source, target, in_flight=1)
    assert (caught.value.t, caught.value.exit_code) == (tx_to_t(bad), 15)
    assert MAX_UNNAMED_FAULTS <= target.said <= MAX_UNNAMED_FAULTS + 1
    _, newest = await inner.read_log(await inner.basis_t(), await inner.basis_t() + 1, size=1)
    assert await nth(source, -21) in newest.numbers, "the one before is the last in the target"


async def test_one_that_times_out_for_ever_ends(new_database: NewDatabase) -> None:
    source, inner = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database()
    bad = await nth(source, -20)
    target = Vague(inner, TIMEOUT, 0, lambda _, first: first.tx == bad)
    with anyio.fail_after(100), pytest.raises(OutcomeUnknown, match=f"source t {tx_to_t(bad)}: ") as caught:
        await restore(source, target, in_flight=1, patience_s=0.3)
    assert caught.value.exit_code == 14
    await restore(source, inner)
    await check_copy(source, inner)
