"""Any history that Datomic Local or Pro takes is the same after a journey to another database.

Histories and journeys are drawn by Hypothesis (`tests/generated`): some hundred in `make test`, and thousands
in `make test-histories`, of a new seed, which it prints. A seed gives the same scripts again, but Local draws
the partitions of entities by itself: so each history that fails is kept, as a backup of its source and as
text, and the failure says where.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.engines import ENGINES
from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.verifying import common_past
from tests.generated.histories import histories
from tests.generated.journeys import COPIES, Journey, Travel, journeys
from tests.generated.keep import keep
from tests.generated.player import Player
from tests.generated.variety import Variety
from tests.support.comparison import check_copy, check_partitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from tests.generated.script import Step

HISTORIES = {LOCAL: 210, PEER: 45}
if "HISTORIES" in os.environ:
    HISTORIES = {os.environ.get("ENGINE", LOCAL): int(os.environ["HISTORIES"])}
SEED = int(os.environ.get("SEED", "1"))
PAIRS = {LOCAL: [(LOCAL, LOCAL)], PEER: [(PEER, PEER), (PEER, LOCAL), (LOCAL, PEER)]}
"""From which engine to which: history by history, in turn."""
ENOUGH_FOR_VARIETY = 210
"""A run of this many histories must show every kind."""
PER_JVM = 200
"""Databases in memory live as long as their JVM."""
LANES = 4
"""Histories at once: while one waits for the JVM, another is compared."""
QUICK_TO_START = "-XX:TieredStopAtLevel=1"
"""For a JVM that lives a minute: the second compiler costs more than it saves, a third of all time."""

pytestmark = pytest.mark.anyio


class _Check:
    """One batch of histories, in a JVM of its own."""

    def __init__(
        self, connector: Connector, engine: str, variety: Variety, directory: Path, scratch: Path
    ) -> None:
        self._connector = connector
        self._pairs = PAIRS[engine]
        self._variety = variety
        self._directory = directory
        self._scratch = scratch
        self._numbers = itertools.count()
        self.failures: list[str] = []

    async def _new(self, engine: str, *, durable: bool = False) -> BridgeDatabase:
        """Makes a database in memory; or of Local a durable one, of always the same name."""
        name = f"db{next(self._numbers)}"
        if durable and engine == LOCAL:
            uri = f"datomic:local://histories/durable?storage-dir={self._scratch / name}"
        else:
            uri = ENGINES[engine].memory_uri(name)
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
            self.failures.append(await keep(directory, failure, databases, steps, journey))

    async def _travel(self, travel: Travel) -> None:
        source, store, target = travel.source, travel.store, travel.target
        copies = COPIES[travel.journey.copies](travel)
        await travel.go(copies)

        for origin in (store, source):
            report = await verify(origin, name="history", against=target)
            assert report.problems == []
        assert (await verify(store, live=source, name="history")).problems == []
        await check_copy(source, target)
        if travel.here == travel.there == PEER:
            await check_partitions(target)
        await copies.check()
        _, log = await source.read_log(0, await source.basis_t() + 1, size=1 << 40)
        self._variety.take(travel, log)


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
        engines, onto_disk = frozenset({here, there}), journey.onto_disk(here)
        drawn.append((data.draw(histories(engines=engines, onto_disk=onto_disk)), journey))

    run()
    return drawn[-1]


@pytest.mark.timeout(120 + 10 * max(HISTORIES.values()))  # a tenth of it on a machine that does nothing else
@pytest.mark.parametrize("engine", HISTORIES)
async def test_any_history_is_identical_after_a_journey(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"{os.environ.get('JAVA_TOOL_OPTIONS', '')} {QUICK_TO_START}")
    # As if engines had no ids: the past is compared, as far as it must be, whenever something is continued.
    monkeypatch.setattr(common_past, "has_engines_id", lambda _: False)
    variety, failures, started = Variety(on_pro=engine == PEER), [], monotonic()
    wanted = HISTORIES[engine]
    # Where make test-histories lets them stay.
    directory = Path(os.environ.get("FAILED_HISTORIES", tmp_path))
    for start in range(0, wanted, PER_JVM):
        first = SEED * 1_000_000 + start
        async with open_connector() as connector, anyio.create_task_group() as lanes:
            check = _Check(connector, engine, variety, directory, tmp_path / str(start))
            numbers = iter(range(first, first + min(PER_JVM, wanted - start)))
            for _ in range(LANES):
                lanes.start_soon(check.histories, numbers)
        failures += check.failures
        print(  # noqa: T201 (shown by make test-histories)
            f"{variety.histories} identical, {len(failures)} differ, {monotonic() - started:.0f} s",
            flush=True,
        )
    print(f"seed {SEED}: {variety}")  # noqa: T201

    assert not failures, f"seed {SEED}, {len(failures)} histories differ:\n" + "\n".join(failures)
    lacking = variety.lacking() if wanted >= ENOUGH_FOR_VARIETY else []
    assert not lacking, "\n".join(lacking)
