"""What goes wrong on the way to the target is recovered within the run, or reported as it is."""

from __future__ import annotations

from contextlib import suppress
from functools import partialmethod
from time import time
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest

from asyncrestore.datomic import database
from asyncrestore.datomic.bridge import Bridge
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import LOCAL
from asyncrestore.errors import Overtaken, TransactionRejected, Unavailable
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import t_to_tx
from asyncrestore.testing import FAULTS, DatabaseWrapper, Faults, faulty_database
from tests.crash.runs import Sources, run_seed
from tests.histories import PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase
from tests.support.comparison import INSTALLING, check_copy, own_ts
from tests.support.engines import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Database, Submission
    from asyncrestore.datomic.database import Connector
    from asyncrestore.model.commit import TxData
    from asyncrestore.progress import Progress
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

SEEDS = 16


@pytest.fixture(scope="session")
async def sources(connector: Connector) -> Sources:
    return await Sources.make(connector)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_any_seed(connector: Connector, sources: Sources, seed: int) -> None:
    """A few of what `make test-crash` does a thousand times."""
    await run_seed(connector, sources, seed)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_each_fault_is_recovered_within_the_run(
    connector: Connector, sources: Sources, memory_uri: str, fault: str, ordered: bool
) -> None:
    """The first submission, two in the middle of a full window, and one soon after them."""
    inner = await connector.open(memory_uri, create=True)
    at = dict.fromkeys((1, 9, 10, 20), fault)
    faults = Faults(seed=7, ordered=ordered, round_trip_s=0.001, jitter_s=0.001, at=at)
    async with faulty_database(inner, faults) as target:
        await restore(sources.backups[1], target, in_flight=24)
        assert target.happened[fault] == len(at)
    await check_copy(sources.databases[1], inner)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_network_that_reorders(
    connector: Connector, sources: Sources, memory_uri: str, ordered: bool
) -> None:
    inner = await connector.open(memory_uri, create=True)
    faults = Faults(seed=3, ordered=ordered, round_trip_s=0.002, jitter_s=0.04)
    async with faulty_database(inner, faults) as target:
        assert target.ordered is ordered
        await restore(sources.backups[1], target)
        assert bool(target.happened["reordered"]) is not ordered
    await check_copy(sources.databases[1], inner)


NOTHING_COMMITS = frozenset({"lost-before", "cut"})
EVERY_SUBMISSION = range(1, 100_000)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - NOTHING_COMMITS))
async def test_a_fault_of_every_submission_by_which_some_commit(
    connector: Connector, sources: Sources, memory_uri: str, fault: str, ordered: bool
) -> None:
    """What commits all the same is found, so the restore comes to its end."""
    inner = await connector.open(memory_uri, create=True)
    faults = Faults(ordered=ordered, at=dict.fromkeys(EVERY_SUBMISSION, fault))
    async with faulty_database(inner, faults) as target:
        await restore(sources.backups[0], target, in_flight=64)
        assert target.happened[fault]
    await check_copy(sources.databases[0], inner)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("fault", sorted(NOTHING_COMMITS))
async def test_a_fault_of_every_submission_by_which_none_commits(
    connector: Connector, sources: Sources, memory_uri: str, fault: str, ordered: bool
) -> None:
    """The restore ends when its patience does, and can be continued."""
    inner = await connector.open(memory_uri, create=True)
    faults = Faults(ordered=ordered, at=dict.fromkeys(EVERY_SUBMISSION, fault))
    async with faulty_database(inner, faults) as target:
        with pytest.raises(Unavailable):
            await restore(sources.backups[0], target, in_flight=64, patience_s=0.3)
        assert target.happened[fault]
    await restore(sources.backups[0], inner)
    await check_copy(sources.databases[0], inner)


async def test_a_jvm_that_hangs(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither answers nor ends. The restore does, and continues when it is run again."""
    async with open_connector() as own:
        target = await own.open("datomic:local://crash/hangs?storage-dir=:mem", create=True)
        jvm = psutil.Process((await own.bridge(LOCAL)).pid)
        monkeypatch.setattr(database, "TRANSACT_TIMEOUT_S", 6)
        monkeypatch.setattr(Bridge, "request", partialmethod(Bridge.request, timeout_s=6))

        def suspend(progress: Progress) -> None:
            if progress.transactions:
                jvm.suspend()

        with anyio.fail_after(100), pytest.raises(Unavailable, match="no sign of life") as caught:
            await restore(sources.backups[1], target, in_flight=16, patience_s=1, on_progress=suspend)
        assert caught.value.exit_code == 14
        jvm.resume()
        monkeypatch.undo()
        report = None
        while report is None:
            with suppress(Overtaken):  # by what had been sent before
                report = await restore(sources.backups[1], target)
        assert report.transactions < sources.transactions[1], "it had begun"
        assert (await verify(sources.backups[1], against=target)).problems == []


class CutShort(DatabaseWrapper):
    """A target whose connection breaks when the first of several transactions has committed."""

    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        done = await self.inner.transact_edn(transactions[:1])
        if len(transactions) > 1:
            raise Unavailable("cut short")
        return done


@pytest.mark.parametrize("engine", IN_MEMORY)
async def test_an_installation_that_was_cut_short_is_finished(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    with pytest.raises(Unavailable, match="cut short"):
        await restore(source, CutShort(target))
    await restore(source, target)
    await check_copy(source, target)
    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("engine", IN_MEMORY)
async def test_installations_at_once(new_database: NewDatabase) -> None:
    """One restores; each other one is overtaken, or finds everything done."""
    source = await new_database(SCHEMA, *PEOPLE)
    for _ in range(5):
        target = await new_database()
        done: list[int] = []

        async def one(target: Database = target, done: list[int] = done) -> None:
            with suppress(Overtaken):
                done.append((await restore(source, target)).transactions)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
        assert len([transactions for transactions in done if transactions]) == 1
        await check_copy(source, target)


class Meeting:
    """Where restores wait for each other."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._all_there = anyio.Event()

    async def arrive(self) -> None:
        """Returns when all are there."""
        self._missing -= 1
        if not self._missing:
            self._all_there.set()
        await self._all_there.wait()


class Met(DatabaseWrapper):
    """A target that is sent its first transactions when all parties of a meeting are about to send theirs."""

    def __init__(self, inner: Database, meeting: Meeting) -> None:
        super().__init__(inner)
        self._meeting: Meeting | None = meeting

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        if self._meeting:
            meeting, self._meeting = self._meeting, None
            await meeting.arrive()
        return await self.inner.submit(batch)


@pytest.mark.parametrize("engine", IN_MEMORY)
@pytest.mark.parametrize("begun", [False, True])
async def test_two_restores_of_two_thousand_transactions(
    connector: Connector, new_database: NewDatabase, memory_uri: str, begun: bool
) -> None:
    """From the same place at once: one wins, the other exits 11, and each transaction is there once."""
    many = [f'[{{:p/email "m{i}@x" :p/code {i + 9}}}]' for i in range(2000)]
    source = await new_database(SCHEMA, *PEOPLE, *many)
    target = await connector.open(memory_uri, create=True)
    await restore(source, target, until_t=(await own_ts(source))[100 if begun else 0])
    done: list[int] = []
    lost: list[Overtaken] = []
    meeting = Meeting(2)

    async def one() -> None:
        try:
            report = await restore(source, Met(await connector.open(memory_uri), meeting))
            done.append(report.last_t)
        except Overtaken as error:
            lost.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)

    assert done == [await source.basis_t()]
    assert [error.exit_code for error in lost] == [11]
    await check_copy(source, target)
    assert (await verify(source, against=target)).problems == []


async def ahead(new_database: NewDatabase, milliseconds: int) -> AlteredDatabase:
    """A source whose newest transaction is dated that long after now."""
    source = await new_database(SCHEMA, *PEOPLE)
    newest, instant = t_to_tx(await source.basis_t()), int(time() * 1000) + milliseconds

    def alter(rows: list[Row]) -> list[Row]:
        return [
            (tx, (e, a, kind, instant if kind == "i" and e == newest else raw, added))
            for tx, (e, a, kind, raw, added) in rows
        ]

    return AlteredDatabase(source, alter)


async def test_a_source_whose_clock_is_a_little_ahead(new_database: NewDatabase) -> None:
    """The target's clock gets there."""
    source, target = await ahead(new_database, 700), await new_database()
    await restore(source, target)
    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("milliseconds", [1_500, 86_400_000])
async def test_a_source_whose_clock_is_far_ahead(new_database: NewDatabase, milliseconds: int) -> None:
    """That is reported, at once if waiting would not help; all before it is restored."""
    source, target = await ahead(new_database, milliseconds), await new_database()
    with (
        anyio.fail_after(60),
        pytest.raises(TransactionRejected, match="after the target's own clock") as caught,
    ):
        await restore(source, target, patience_s=0.3)
    assert caught.value.t == await source.basis_t()
    assert await target.basis_t() == caught.value.t - 1 + INSTALLING
