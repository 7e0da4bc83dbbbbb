"""What goes wrong on the way to the target is recovered within the run, or told as it is."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.errors import OutcomeUnknown, Overtaken, TransactionRejected, Unavailable, UsageError
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model import t_to_tx
from asyncrestore.pipeline import transact
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import FAULTS, Faults, FaultyStore, faulty_database
from tests.altered import AlteredDatabase
from tests.crash.compare import INSTALLING, check_same
from tests.crash.runs import Sources, run_seed
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.database import BridgeDatabase, Connector
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
    inner = await connector.open(memory_uri, create=True)
    await restore(sources.backups[1], inner, segments=1)  # installed, so that only submissions meet faults
    faults = Faults(seed=7, ordered=ordered, round_trip_s=0.001, jitter_s=0.001, chances={fault: 0.08})
    async with faulty_database(inner, faults) as target:
        report = None
        while report is None:
            try:
                report = await restore(sources.backups[1], target, in_flight=24)
            except Unavailable:
                # Before the first transaction nothing is tried again.
                assert fault in {"unavailable", "cut"}
    await check_same(sources.databases[1], inner)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_network_that_reorders(
    connector: Connector, sources: Sources, memory_uri: str, ordered: bool
) -> None:
    inner = await connector.open(memory_uri, create=True)
    faults = Faults(seed=3, ordered=ordered, round_trip_s=0.002, jitter_s=0.002)
    async with faulty_database(inner, faults) as target:
        assert target.ordered is ordered
        await restore(sources.backups[0], target)
    await check_same(sources.databases[0], inner)


async def test_patience_ends(
    connector: Connector, sources: Sources, memory_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but lost answers: the error says so, and in time."""
    monkeypatch.setattr(transact, "PATIENCE_S", 0.2)
    inner = await connector.open(memory_uri, create=True)
    async with faulty_database(inner, Faults(chances={"lost-before": 1})) as target:
        await restore(sources.backups[1], inner, segments=1)
        with anyio.fail_after(10), pytest.raises(OutcomeUnknown, match="an answer was lost"):
            await restore(sources.backups[1], target)


async def test_two_restores_of_two_thousand_transactions(
    connector: Connector, new_database: NewDatabase, memory_uri: str
) -> None:
    """Overtaking each other in mid-target: exactly one wins, the other exits 11."""
    many = [f'[{{:p/email "m{i}@x" :p/code {i + 9}}}]' for i in range(2000)]
    source = await new_database(SCHEMA, *PEOPLE, *many)
    target = await connector.open(memory_uri, create=True)
    await restore(source, target, until_t=100)
    done: list[int] = []
    lost: list[Overtaken] = []

    async def one() -> None:
        try:
            report = await restore(source, await connector.open(memory_uri))
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
        anyio.fail_after(5),
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
