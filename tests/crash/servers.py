"""One seeded run against a server of Datomic's client protocol, on which all goes wrong that can.

The client is Datomic's own. Answers are lost, cut or somebody else's, the server refuses before and after the
commit, gets new keys, is restarted; and the command is killed.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from asyncrestore.errors import Unavailable
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.crash.runs import SEGMENT
from tests.support.comparison import check_copy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.database import Connector
    from tests.crash.runs import Sources
    from tests.support.cloud.server import CloudServer

DEADLINE_S = 300
"""Limit for one run."""

ATTEMPTS = 12
"""How often a command is run with faults; then they end, and it must succeed."""

OF_WRITES = [
    "429-before", "500-before", "502-after", "503-before", "503-after", "cut-before", "cut-after", "cut-body",
    "html-before", "html-after", "late-commit", "late-answer",
]  # fmt: skip
OF_READS = ["429-before", "503-before", "cut-before", "cut-after", "cut-body", "html-after", "expired"]

EVENTS = {
    "keys": "new keys", "tokens": "tokens forgotten", "restart": "the server was restarted",
    "kill": "the command was killed",
}  # fmt: skip


async def run_on_server(
    connector: Connector, server: CloudServer, sources: Sources, engine: str, seed: int
) -> Counter[str]:
    """Restores into a new database of the server, backs that up again, and compares both.

    Returns:
        What happened meanwhile, and how often.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    which, happened = rng.randrange(len(sources.databases)), Counter[str]()
    source, stored, again = sources.databases[which], sources.backups[which], MemoryStore()
    with anyio.fail_after(DEADLINE_S):
        uri = await server.new(f"run-{seed}", engine)
        target = await connector.open(uri, create=True)
        in_flight = rng.choice([1, 8, 1024])
        await _insist(
            server, rng, happened, lambda: restore(stored, target, in_flight=in_flight, patience_s=5)
        )
        await _insist(server, rng, happened, lambda: backup(target, again, segment_size=SEGMENT))
        assert (await verify(stored, against=target)).problems == []
        assert (await verify(again, live=target)).problems == []
        await check_copy(source, target)
    return happened


async def _insist(
    server: CloudServer,
    rng: random.Random,
    happened: Counter[str],
    command: Callable[[], Awaitable[object]],
) -> None:
    """Runs a command again and again, each time with faults of its own; at last without."""
    for _ in range(ATTEMPTS):
        await to_thread.run_sync(lambda faults: server.set_faults(*faults[0], **faults[1]), _faults(rng))
        done = False
        with anyio.CancelScope() as alive:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_disturb, server, rng, alive, happened)
                try:
                    done = await command() is not None
                except Unavailable:
                    happened["the command gave up"] += 1
                tasks.cancel_scope.cancel()
        happened.update((await to_thread.run_sync(server.counts)).get("faults", {}))
        if done:
            break
    await to_thread.run_sync(server.set_faults)
    assert await command() is not None


def _faults(rng: random.Random) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Some faults, and a network of any speed."""
    rules = [
        {"of": of, "fault": fault, "chance": rng.choice([0.01, 0.03, 0.1])}
        for of, known in (("transact", OF_WRITES), ("reads", OF_READS))
        for fault in rng.sample(known, k=rng.randint(1, 3))
    ]
    network = {
        "seed": rng.getrandbits(30),
        "latency_ms": rng.choice([0, 1, 5]),
        "jitter_ms": rng.choice([0, 1, 5]),
        "late_ms": rng.choice([20, 200]),
    }
    return rules, network


async def _disturb(
    server: CloudServer, rng: random.Random, alive: anyio.CancelScope, happened: Counter[str]
) -> None:
    """Does one of `EVENTS`, or nothing, within the command's work."""
    event = rng.choice([None, None, *EVENTS, "kill"])
    moment_s = rng.uniform(0.05, 2)
    if event is None:
        return
    await anyio.sleep(moment_s)
    happened[EVENTS[event]] += 1
    match event:
        case "keys":
            await to_thread.run_sync(server.rotate_keys)
        case "tokens":
            await to_thread.run_sync(server.expire_tokens)
        case "restart":
            await to_thread.run_sync(server.restart, rng.choice([0, 300, 1000]))
        case _:
            alive.cancel()
