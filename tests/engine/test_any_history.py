"""Any history that an engine takes is the same after a journey to another database.

Histories and journeys are drawn by Hypothesis (`tests/generated`): some hundred in `make test`, and thousands
in `make test-histories`, of a new seed, which it prints. A seed gives the same scripts again, but Local draws
the partitions of entities by itself: so each history that fails is kept, as a backup of its source and as
text, and the failure says where.
"""

from __future__ import annotations

import itertools
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import CLOUD, LOCAL, PEER, PEER_SERVER
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.verifying import common_past
from tests.generated.batches import Shown, batches, put
from tests.generated.histories import histories
from tests.generated.journeys import COPIES, Journey, Travel, journeys
from tests.generated.keep import keep
from tests.generated.player import Player
from tests.generated.variety import Variety
from tests.support.cloud.server import open_server
from tests.support.comparison import check_copy, check_partitions, unchanged, without_indexes
from tests.support.engines import REMOTE, behind, memory_uri_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from tests.generated.script import Step
    from tests.support.cloud.server import CloudServer

HISTORIES = {LOCAL: 210, PEER: 45, CLOUD: 15, PEER_SERVER: 6}
if "HISTORIES" in os.environ:
    HISTORIES = {os.environ.get("ENGINE", LOCAL): int(os.environ["HISTORIES"])}
SEED = int(os.environ.get("SEED", "1"))
PAIRS = {
    LOCAL: [(LOCAL, LOCAL)],
    PEER: [(PEER, PEER), (PEER, LOCAL), (LOCAL, PEER)],
    CLOUD: [(CLOUD, CLOUD), (CLOUD, LOCAL), (LOCAL, CLOUD), (CLOUD, PEER), (PEER, CLOUD)],
    PEER_SERVER: [(PEER_SERVER, PEER_SERVER), (PEER_SERVER, LOCAL), (LOCAL, PEER_SERVER)],
}
"""From which engine to which: history by history, in turn."""
ENOUGH_FOR_VARIETY = 210
"""A run of this many histories must show every kind."""
PER_JVM = 200 if "HISTORIES" in os.environ else 70
"""In a batch: databases in memory live as long as their JVM. Of several batches two can run at once."""
LANES = 4
"""Histories at once: while one waits for the JVM, another is compared."""

pytestmark = pytest.mark.anyio


class _Check:
    """One batch of histories, in a JVM of its own."""

    def __init__(
        self,
        connector: Connector,
        engine: str,
        shown: Shown,
        directory: Path,
        scratch: Path,
        server: CloudServer | None,
    ) -> None:
        self._connector = connector
        self._server = server
        self._pairs = PAIRS[engine]
        self._shown = shown
        self._directory = directory
        self._scratch = scratch
        self._numbers = itertools.count()

    async def _new(self, engine: str, *, durable: bool = False) -> BridgeDatabase:
        """Makes a database in memory; or of Local a durable one, of always the same name."""
        name = f"db{next(self._numbers)}"
        if engine in REMOTE:
            assert self._server is not None
            return await self._connector.open(await self._server.new(name, engine), create=True)
        if durable and engine == LOCAL:
            uri = f"datomic:local://histories/durable?storage-dir={self._scratch / name}"
        else:
            uri = memory_uri_of(engine, name)
        return await self._connector.open(uri, create=True)

    async def histories(self, numbers: Iterator[int]) -> None:
        """Takes histories on their journeys, one after the other, one for each number."""
        for number in numbers:
            # Not in a thread, short as it is: Python 3.11 cannot compile in two threads at once, as imports
            # on the way may need (SystemError: AST constructor recursion depth mismatch).
            here, there = self._pairs[number % len(self._pairs)]
            steps, journey = _draw(number, here, there)
            await self._history(number, steps, journey, here, there)

    async def _history(self, number: int, steps: list[Step], journey: Journey, here: str, there: str) -> None:
        """Takes a history to another database, and compares; one that fails is kept."""
        source = await self._new(here, durable=journey.source_on_disk)
        target = await self._new(there, durable=journey.on_disk[1])
        played = journey.played_before_copies(steps)
        travel = Travel(
            journey=journey,
            steps=steps[:played],
            rest=steps[played:],
            player=Player(source),
            here=here,
            there=there,
            source=source,
            store=MemoryStore(),
            target=target,
            new=self._new,
        )
        try:
            await self._travel(travel)
        except Exception as failure:  # noqa: BLE001 (whatever it is, the history is needed to understand it)
            directory = self._directory / f"history-{number}"
            databases = {"history": source, "copy": target}
            self._shown.failures.append(await keep(directory, failure, databases, steps, journey))

    async def _travel(self, travel: Travel) -> None:
        source, store, target = travel.source, travel.store, travel.target
        copies = COPIES[travel.journey.copies](travel)
        await travel.go(copies)

        for origin in (store, source):
            report = await verify(origin, name="history", against=target, **travel.options)
            assert report.problems == []
        assert (await verify(store, live=source, name="history")).problems == []
        expected = without_indexes if travel.options else unchanged
        await check_copy(source, target, expected=expected)
        if travel.here == travel.there == PEER:
            await check_partitions(target)
        await copies.check()
        _, log = await source.read_log(0, await source.basis_t() + 1, size=1 << 40)
        self._shown.variety.take(travel, log)


def _draw(number: int, here: str, there: str) -> tuple[list[Step], Journey]:
    """The history of a number. Hypothesis only draws; whether it holds is found out elsewhere.

    So nothing is shrunk: what is played again is another history, by Local's own dice. Each has a run of its
    own, since Hypothesis draws most of a longer one much like those before.
    """
    drawn: list[tuple[list[Step], Journey]] = []

    @seed(number)
    @settings(
        max_examples=2,  # the first is always the least that there is
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        journey = data.draw(journeys())
        engines = frozenset(map(behind, (here, there)))
        # On its way to a server a number loses what Local loses on disk.
        onto_disk = journey.onto_disk(here) or ((there in REMOTE) != (here in REMOTE))
        fitted = journey.fitted(here, there)
        drawn.append((data.draw(histories(engines=engines, onto_disk=onto_disk, fitted=fitted)), journey))

    run()
    return drawn[-1]


BATCHES = [
    pytest.param(engine, numbers, id=f"{engine}-{numbers.start}")
    for engine, wanted in HISTORIES.items()
    for numbers in batches(wanted, PER_JVM)
]


@asynccontextmanager
async def around(
    engine: str, directory: Path, patch: pytest.MonkeyPatch
) -> AsyncIterator[CloudServer | None]:
    """The server of an engine that needs one."""
    if engine in REMOTE:
        async with open_server(directory) as server:
            server.meet_clients(patch)
            yield server
    else:
        yield None


@pytest.fixture
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of this run, which all processes of it share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.mark.timeout(120 + 10 * PER_JVM)  # a tenth of it on a machine that does nothing else
@pytest.mark.parametrize(("engine", "numbers"), BATCHES)
async def test_any_history_is_identical_after_a_journey(
    engine: str, numbers: range, run_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if engines had no ids: the past is compared, as far as it must be, whenever something is continued.
    monkeypatch.setattr(common_past, "has_engines_id", lambda _: False)
    shown, wanted = Shown(Variety(on_pro=engine == PEER)), HISTORIES[engine]
    # Where make test-histories lets them stay.
    kept = Path(os.environ.get("FAILED_HISTORIES", tmp_path))
    async with (
        around(engine, tmp_path, monkeypatch) as server,
        open_connector() as connector,
        anyio.create_task_group() as lanes,
    ):
        check = _Check(connector, engine, shown, kept, tmp_path, server)
        waiting = iter([SEED * 1_000_000 + number for number in numbers])
        for _ in range(LANES):
            lanes.start_soon(check.histories, waiting)
    every = put(run_directory / f"histories-{engine}", f"{numbers.start}", shown)
    # To stderr: xdist passes on no stdout of its workers.
    print(f"{every} of {wanted}", file=sys.stderr, flush=True)  # noqa: T201 (shown by make test-histories)
    whole = every.histories == wanted
    if whole:
        print(f"seed {SEED}: {every.variety}", file=sys.stderr, flush=True)  # noqa: T201

    assert not shown.failures, f"seed {SEED}, {len(shown.failures)} differ:\n" + "\n".join(shown.failures)
    enough = whole and not every.failures and wanted >= ENOUGH_FOR_VARIETY
    lacking = every.variety.lacking() if enough else []
    assert not lacking, "\n".join(lacking)
