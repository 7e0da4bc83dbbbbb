"""Any history that Datomic Local takes is the same after a journey to another database.

Histories and journeys are drawn by Hypothesis (`tests/generated`). `make test` takes a few hundred, always
the same; `make test-histories` takes thousands, of a new seed, which it prints. To see a run again:
`make test-histories HISTORIES=... SEED=...`.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from anyio import from_thread, to_thread
from hypothesis import HealthCheck, given, seed, settings

from asyncrestore.datomic.database import open_connector
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.generated.histories import histories
from tests.generated.journeys import Journey, journeys, restore, travel
from tests.generated.plain import check_copy_of_copy
from tests.generated.player import Player
from tests.generated.variety import Variety

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from tests.generated.script import Step

pytestmark = pytest.mark.anyio

HISTORIES = int(os.environ.get("HISTORIES", "300"))
SEED = int(os.environ.get("SEED", "1"))
PER_JVM = 100
"""Databases in memory live as long as their JVM."""


class _Check:
    """One batch of histories, in a JVM of its own."""

    def __init__(self, connector: Connector, variety: Variety) -> None:
        self._connector = connector
        self._variety = variety
        self._numbers = itertools.count()

    async def _new(self) -> BridgeDatabase:
        uri = f"datomic:local://histories/db{next(self._numbers)}?storage-dir=:mem"
        return await self._connector.open(uri, create=True)

    async def history(self, steps: list[Step], journey: Journey) -> None:
        """Takes a history to another database, and compares."""
        source, target, store = await self._new(), await self._new(), MemoryStore()
        player = Player(source)
        await travel(journey, steps, player, source, store, target)

        for origin in (store, source):
            report = await verify(origin, against=target)
            assert report.problems == []
        assert (await verify(store)).problems == []
        if journey.chained:
            second = await self._new()
            await restore(journey, target, second)
            assert (await verify(target, against=second)).problems == []
            await check_copy_of_copy(source, target, second)
        _, log = await source.read_log(0, await source.basis_t() + 1, size=1 << 40)
        self._variety.take(player, log, journey)


@pytest.mark.timeout(120 + HISTORIES)
async def test_any_history_is_identical_after_a_journey() -> None:
    variety = Variety()
    for start in range(0, HISTORIES, PER_JVM):
        async with open_connector() as connector:
            check = _Check(connector, variety)

            @seed(SEED * 1_000_000 + start)
            @settings(
                max_examples=min(PER_JVM, HISTORIES - start),
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            )
            @given(histories(), journeys())
            def run(steps: list[Step], journey: Journey) -> None:
                from_thread.run(check.history, steps, journey)  # noqa: B023 (called before the loop goes on)

            # Hypothesis is synchronous: it has a thread of its own, and its examples run on this loop.
            await to_thread.run_sync(run)
    print(f"seed {SEED}: {variety}")  # noqa: T201 (shown by make test-histories)

    lacking = variety.lacking()
    assert not lacking, "\n".join(lacking)
