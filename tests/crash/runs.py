"""One seeded run in this process: real databases in memory, everything else may go wrong.

Of the engine that the sources are of. The JVM lives on: with it the databases would go.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio

from asyncrestore.datomic.uri import LOCAL
from asyncrestore.errors import Overtaken, Unavailable
from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.pipeline.stages import BATCH_TRANSACTIONS
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import Faults, FaultyStore, faulty_database
from asyncrestore.testing.faults import kill_this_process
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.comparison import check_copy
from tests.support.engines import memory_uri_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import Connector

DEADLINE_S = 300
"""Limit for one run. On an idle machine none takes a tenth of it."""

ATTEMPTS = 200
"""How often a command is run again at most. Where every tenth request fails, a backup may take sixty."""

SEGMENT = 40
"""Transactions in a segment of these backups, which are small."""

KILL_POINTS = ["before-submit", "after-submit", "before-answer", "before-transact-edn", "after-transact-edn"]
NETWORK_FAULTS = ["busy", "unavailable", "lost-before", "lost-after", "late", "cut", "timeout"]

_DANGLING = [(17 << 42) + 10**9, (23 << 42) + 80]
MANY = [
    f'[{{:p/email "m{i}@x" :p/name "{i}" :p/boss [:p/email "{f"m{i - 7}@x" if i > 7 else "ann@x"}"]}}]'
    for i in range(200)
]
MANY[60:60] = [f'[[:db/add [:p/email "ann@x"] :p/friend {i}]]' for i in _DANGLING]


class Sources:
    """What the runs restore and back up, made once.

    Attributes:
        engine: whose databases they are.
        databases: the sources.
        backups: each one's backup, made without faults.
        transactions: how many each has.
    """

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.databases: list[Database] = []
        self.backups: list[MemoryStore] = []
        self.transactions: list[int] = []

    @classmethod
    async def make(cls, connector: Connector, engine: str = LOCAL) -> Sources:
        """Makes two sources: every odd case, and many small transactions that refer to each other."""
        sources = cls(engine)
        for number, history in enumerate([ODD, (SCHEMA, *PEOPLE, *MANY)]):
            database = await connector.open(sources.uri(f"crash-source{number}"), create=True)
            await database.transact_edn(history)
            store = MemoryStore()
            await backup(database, store, name="db", segment_size=SEGMENT)
            sources.databases.append(database)
            sources.backups.append(store)
            sources.transactions.append(len(history))
        return sources

    def uri(self, name: str) -> str:
        """A database in memory."""
        return memory_uri_of(self.engine, name)

    def submissions(self, which: int, *, in_flight: int, ordered: bool) -> int:
        """Returns how many a whole restore has at least."""
        batch = max(1, min(BATCH_TRANSACTIONS, in_flight // 4)) if ordered else 1
        return -(-self.transactions[which] // batch)


def _chances(rng: random.Random, *names: str) -> dict[str, float]:
    """Some of these faults. With all of them at once, backing off would take most of the time."""
    return {name: rng.choice([0.01, 0.03, 0.1]) for name in rng.sample(names, k=rng.randint(1, 3))}


def _faults(rng: random.Random, *, kill: Callable[[], None] = kill_this_process, **others: Any) -> Faults:
    """Faults behind a network of any speed."""
    return Faults(
        seed=rng.getrandbits(32),
        round_trip_s=rng.choice([0, 0.001, 0.003]),
        jitter_s=rng.choice([0, 0.001, 0.003]),
        kill=kill,
        **others,
    )


class _Alive:
    """What is alive until it is killed, which leaves nothing done that a dead process would not have done."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()

    def kill(self) -> None:
        """As SIGKILL does to a process."""
        self.scope.cancel()


async def _insist(attempt: Callable[[], Awaitable[object]], *errors: type[Exception]) -> int:
    """Runs a command until it succeeds, as the hints of these errors say. Returns the number of attempts."""
    for number in range(1, ATTEMPTS + 1):
        try:
            if await attempt() is not None:
                return number
        except errors:
            continue
    raise AssertionError(f"not done after {ATTEMPTS} attempts")


async def faulty_restore(
    connector: Connector, sources: Sources, rng: random.Random, uri: str
) -> Counter[str]:
    """A restore whose network loses, delays, reorders and refuses, run until it is done."""
    which, ordered, in_flight = rng.randrange(2), rng.random() < 0.6, rng.choice([1, 8, 40, 1024])
    number = rng.randint(1, sources.submissions(which, in_flight=in_flight, ordered=ordered))
    faults = _faults(
        rng,
        ordered=ordered,
        chances=_chances(rng, *NETWORK_FAULTS),
        at={number: rng.choice(NETWORK_FAULTS)},
    )
    async with faulty_database(await connector.open(uri, create=True), faults) as target:
        tries = await _insist(
            lambda: restore(sources.backups[which], target, in_flight=in_flight), Unavailable
        )
        happened = Counter({f"restore: {fault}": times for fault, times in target.happened.items()})
    happened["restore: run again"] += tries - 1
    await _check(connector, sources.databases[which], uri)
    return happened


async def killed_restore(
    connector: Connector, sources: Sources, rng: random.Random, uri: str
) -> Counter[str]:
    """A restore cut off at a point, as by a kill, again and again; what it had sent still arrives."""
    which, in_flight = rng.randrange(2), rng.choice([4, 8, 40, 1024])
    ordered = rng.random() < 0.6
    most = min(12, sources.submissions(which, in_flight=in_flight, ordered=ordered))  # so the first is killed
    database = await connector.open(uri, create=True)
    happened = Counter[str]()
    alive = _Alive()

    async def attempt() -> object:
        point = rng.choice(KILL_POINTS)
        passage = 1 if point.endswith("edn") else rng.randint(1, most)
        faults = _faults(rng, ordered=ordered, kill_at=(point, passage), kill=alive.kill)
        target = await networks.enter_async_context(faulty_database(database, faults))
        alive.scope = anyio.CancelScope()
        with alive.scope:
            return await restore(sources.backups[which], target, in_flight=in_flight)
        happened["restore: cut off at a named point"] += 1
        return None

    async with AsyncExitStack() as networks:
        # What the dead one had sent may overtake the next, which cannot tell that nobody is there any more.
        happened["restore: run again"] += await _insist(attempt, Overtaken) - 1
    await _check(connector, sources.databases[which], uri)
    return happened


async def two_restores(connector: Connector, sources: Sources, rng: random.Random, uri: str) -> Counter[str]:
    """Two restores at once, behind networks of their own: one wins, the other says so."""
    which, done, happened = rng.randrange(2), list[int](), Counter({"restore: two at once": 1})

    async def one(faults: Faults, in_flight: int) -> None:
        async with faulty_database(await connector.open(uri, create=True), faults) as target:
            try:
                report = await restore(sources.backups[which], target, in_flight=in_flight)
                done.append(report.transactions)
            except Overtaken:
                happened["restore: overtaken"] += 1
            happened["restore: reordered"] += target.happened["reordered"]

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(one, _faults(rng, ordered=rng.random() < 0.6), rng.choice([4, 8, 40, 1024]))
    assert done, "both restores stopped"
    assert len(done) == 1 or min(done) == 0, "both restores won"
    await _check(connector, sources.databases[which], uri)
    return happened


async def faulty_backup(connector: Connector, sources: Sources, rng: random.Random, uri: str) -> Counter[str]:  # noqa: ARG001 - one signature for all
    """A backup whose source and store fail, and which is killed; the store is then as if nothing had been."""
    which, store = rng.randrange(2), MemoryStore()
    happened = Counter[str]()
    alive, first = _Alive(), True

    async def attempt() -> object:
        nonlocal first
        point, passage = rng.choice(["before-publish", "after-publish", "before-read-log"]), rng.randint(1, 8)
        faults = _faults(
            rng,
            # The first is killed for certain, and by nothing else.
            chances={} if first else _chances(rng, "unavailable", "lost-before", "lost-after"),
            kill_at=(point, 1 if first else passage),
            kill=alive.kill,
        )
        first = False
        faulty = FaultyStore(store, faults)
        async with faulty_database(sources.databases[which], faults) as source:
            alive.scope = anyio.CancelScope()
            with alive.scope:
                try:
                    return await backup(source, faulty, name="db", segment_size=SEGMENT)
                finally:
                    for fault, times in (faulty.happened + source.happened).items():
                        happened[f"backup: {fault}"] += times
            happened["backup: cut off at a named point"] += 1
            return None

    happened["backup: run again"] += await _insist(attempt, Unavailable) - 1
    keys = [item.key for item in await store.list("db")]
    whole = sources.backups[which]
    assert keys == [item.key for item in await whole.list("db")], "the segments differ"
    for key in keys:
        if key != BACKUP_JSON:  # the two are backups with an id each
            ours, theirs = Segment(await store.read("db", key)), Segment(await whole.read("db", key))
            assert ours.same_rows(theirs), f"segment {key} differs"
    assert (await verify(store)).ok
    return happened


async def _check(connector: Connector, source: Database, uri: str) -> None:
    target = await connector.open(uri)
    await check_copy(source, target)
    report = await verify(source, against=target)
    assert report.problems == [], "verify sees a difference where there is none"


KINDS = [
    faulty_restore, faulty_restore, killed_restore, killed_restore, two_restores,
    faulty_backup, faulty_backup,
]  # fmt: skip
"""The kinds of run; the seed picks one."""


async def run_seed(connector: Connector, sources: Sources, seed: int) -> tuple[str, Counter[str]]:
    """One run. Returns its kind, and how often each thing happened.

    Raises:
        AssertionError: a history differs, or a run did not end as it must.
        TimeoutError: it hangs.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    kind = rng.choice(KINDS)
    with anyio.fail_after(DEADLINE_S):
        happened = await kind(connector, sources, rng, sources.uri(f"crash-run{seed}"))
    return kind.__name__, happened
