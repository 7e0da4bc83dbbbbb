"""What goes wrong on the way to the target is recovered within the run, or told as it is."""

from __future__ import annotations

from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any, cast

import anyio
import psutil
import pytest

from asyncrestore.datomic import database
from asyncrestore.datomic.bridge import Bridge
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import ENGINES, LOCAL
from asyncrestore.errors import Overtaken, TransactionRejected, Unavailable, UsageError
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model import t_to_tx, tx_to_t
from asyncrestore.pipeline import transact
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import FAULTS, Faults, FaultyStore, faulty_database
from tests.altered import AlteredDatabase
from tests.crash.compare import INSTALLING, check_same
from tests.crash.runs import Sources, run_seed
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncrestore.datomic.base import Database, Submission
    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from asyncrestore.model import TxData
    from asyncrestore.progress import Progress
    from tests.altered import Row

    NewDatabase = Callable[..., Awaitable[BridgeDatabase]]

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
    await check_same(sources.databases[1], inner)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_network_that_reorders(
    connector: Connector, sources: Sources, memory_uri: str, ordered: bool
) -> None:
    inner = await connector.open(memory_uri, create=True)
    faults = Faults(seed=3, ordered=ordered, round_trip_s=0.002, jitter_s=0.02)
    async with faulty_database(inner, faults) as target:
        assert target.ordered is ordered
        await restore(sources.backups[1], target)
        assert bool(target.happened["reordered"]) is not ordered
    await check_same(sources.databases[1], inner)


NOTHING_COMMITS, ALL_COMMITS = {"lost-before", "cut"}, {"lost-after"}


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_no_fault_outlasts_patience(
    connector: Connector,
    sources: Sources,
    memory_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    ordered: bool,
) -> None:
    """It happens to every submission: what commits all the same is found; if nothing does, that is told."""
    monkeypatch.setattr(transact, "PATIENCE_S", 0.3)
    inner = await connector.open(memory_uri, create=True)
    faults = Faults(ordered=ordered, at=dict.fromkeys(range(1, 100_000), fault))
    async with faulty_database(inner, faults) as target:
        error: Unavailable | None = None
        with anyio.fail_after(100):
            try:
                await restore(sources.backups[1], target, in_flight=64)
            except Unavailable as raised:
                error = raised
        assert target.happened[fault]
    assert error is None or fault not in ALL_COMMITS
    assert error is not None or fault not in NOTHING_COMMITS
    await restore(sources.backups[1], inner)
    await check_same(sources.databases[1], inner)


async def test_a_jvm_that_hangs(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither answers nor ends. The restore does, and continues when it is asked to again."""
    async with open_connector() as own:
        target = await own.open("datomic:local://crash/hangs?storage-dir=:mem", create=True)
        jvm = psutil.Process((await own.bridge(LOCAL)).pid)
        monkeypatch.setattr(transact, "PATIENCE_S", 1)
        monkeypatch.setattr(database, "TRANSACT_TIMEOUT_S", 6)
        monkeypatch.setattr(Bridge.request, "__kwdefaults__", {"timeout_s": 6})

        def suspend(progress: Progress) -> None:
            if progress.transactions:
                jvm.suspend()

        with anyio.fail_after(100), pytest.raises(Unavailable, match="did not answer") as caught:
            await restore(sources.backups[1], target, in_flight=16, on_progress=suspend)
        assert caught.value.exit_code == 14
        jvm.resume()
        monkeypatch.undo()
        report = None
        while report is None:
            with suppress(Overtaken):  # by what had been sent before
                report = await restore(sources.backups[1], target)
        assert report.transactions < sources.transactions[1], "it had begun"
        assert (await verify(sources.backups[1], against=target)).problems == []


class CutShort:
    """A target whose connection breaks when the first of several transactions has committed."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        done = await self._inner.transact_edn(transactions[:1])
        if len(transactions) > 1:
            raise Unavailable("cut short")
        return done


@pytest.mark.parametrize("engine", ENGINES)
async def test_an_installation_that_was_cut_short_is_finished(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    with pytest.raises(Unavailable, match="cut short"):
        await restore(source, CutShort(target))
    await restore(source, target)
    await check_same(source, target)
    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("engine", ENGINES)
async def test_installations_at_once(new_database: NewDatabase) -> None:
    """Whoever names the source restores; nobody writes beside it."""
    source = await new_database(SCHEMA, *PEOPLE)
    for _ in range(5):
        target = await new_database()
        done: list[bool] = []

        async def one(target: Database = target, done: list[bool] = done) -> None:
            try:
                await restore(source, target)
                done.append(True)
            except Overtaken:
                done.append(False)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
        assert any(done)
        await check_same(source, target)


class Meeting:
    """Targets that send their first transactions only when all of them are about to."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._all_there = anyio.Event()

    def at(self, inner: Database) -> Database:
        """The target for one party."""
        outer, arrived = self, False

        class Target:
            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

            async def submit(self, batch: Sequence[TxData]) -> Submission:
                nonlocal arrived
                if not arrived:
                    arrived = True
                    outer._missing -= 1
                    if not outer._missing:
                        outer._all_there.set()
                    await outer._all_there.wait()
                return await inner.submit(batch)

        return cast("Database", Target())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("begun", [False, True])
async def test_two_restores_of_two_thousand_transactions(
    connector: Connector, new_database: NewDatabase, memory_uri: str, begun: bool
) -> None:
    """From the same place at once: one wins, the other exits 11, and each transaction is there once."""
    many = [f'[{{:p/email "m{i}@x" :p/code {i + 9}}}]' for i in range(2000)]
    source = await new_database(SCHEMA, *PEOPLE, *many)
    target = await connector.open(memory_uri, create=True)
    await restore(source, target, until_t=(await txs_of(source))[100 if begun else 0])
    done: list[int] = []
    lost: list[Overtaken] = []
    meeting = Meeting(2)

    async def one() -> None:
        try:
            report = await restore(source, meeting.at(await connector.open(memory_uri)))
            done.append(report.last_t)
        except Overtaken as error:
            lost.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        tasks.start_soon(one)

    assert done == [await source.basis_t()]
    assert [error.exit_code for error in lost] == [11]
    await check_same(source, target)
    assert (await verify(source, against=target)).problems == []


async def txs_of(source: Database) -> list[int]:
    """The t of each transaction of its own history."""
    _, log = await source.read_log(0, await source.basis_t() + 1, size=1_000_000)
    return [t for t in map(tx_to_t, log.txs()) if t > LAST_BOOTSTRAP_T[source.uri.startswith("datomic:mem")]]


LAST_BOOTSTRAP_T = (5, 999)
"""Of Local, and of Pro."""


async def ahead(new_database: NewDatabase, milliseconds: int) -> AlteredDatabase:
    """A source whose newest transaction says that it was made so long after now."""
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
async def test_a_source_whose_clock_is_far_ahead(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, milliseconds: int
) -> None:
    """That is told, at once if waiting would not help; all before it is restored."""
    monkeypatch.setattr(transact, "PATIENCE_S", 0.3)
    source, target = await ahead(new_database, milliseconds), await new_database()
    with (
        anyio.fail_after(60),
        pytest.raises(TransactionRejected, match="after the target's own clock") as caught,
    ):
        await restore(source, target)
    assert caught.value.t == await source.basis_t()
    assert await target.basis_t() == caught.value.t - 1 + INSTALLING


@pytest.mark.parametrize(
    "arguments",
    [
        {"in_flight": 0},
        {"in_flight": -1},
        {"in_flight": 10**9},
        {"prefetch_bytes": 0},
        {"prefetch_bytes": 10**15},
    ],
    ids=str,
)
async def test_absurd_windows_and_budgets_are_refused(
    new_database: NewDatabase, arguments: dict[str, int]
) -> None:
    with pytest.raises(UsageError, match="must be from 1 to"):
        await restore(MemoryStore(), await new_database(), **arguments)  # type: ignore[arg-type]  # a number


@pytest.mark.parametrize(
    "arguments",
    [
        {"chances": {"gremlins": 0.5}},
        {"chances": {"busy": 1.5}},
        {"kill_at": ("somewhere", 1)},
        {"kill_at": ("after-submit", 0)},
        {"round_trip_s": -1.0},
    ],
    ids=str,
)
def test_unknown_faults_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Faults(**arguments)  # type: ignore[arg-type]  # that is the point


async def test_a_faulty_store_is_a_store() -> None:
    """Without faults it is the store, with them it raises what a real one raises."""
    store = MemoryStore()
    await FaultyStore(store, Faults()).publish("a", "1.parquet", b"one")
    assert await FaultyStore(store, Faults(round_trip_s=0.001)).read("a", "1.parquet") == b"one"
    lossy = FaultyStore(store, Faults(chances={"lost-after": 1}))
    with pytest.raises(Unavailable):
        await lossy.publish("a", "2.parquet", b"two")
    assert await store.read("a", "2.parquet") == b"two"
    assert lossy.happened["lost-after"] == 1
