"""Seeded runs of real processes on durable databases, killed by SIGKILL; then the same command to its end."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import psutil

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.verify import verify
from tests.crash.child import FAULTS_VARIABLE
from tests.crash.compare import check_same
from tests.crash.runs import MANY, SEGMENT
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import Connector

DEADLINE_S = 120
"""Of one command."""

COMMAND_S = 3.5
"""About how long a command takes here: it is killed before or soon after."""

HALF_MADE = 13

RESTORE_POINTS = {
    "before-submit": 12, "after-submit": 12, "before-answer": 12, "before-transact-edn": 2,
    "after-transact-edn": 2, "before-read": 4,
}  # fmt: skip
BACKUP_POINTS = {"before-publish": 5, "after-publish": 5, "before-read-log": 8}
"""How often a run passes each."""


@dataclass(frozen=True)
class Prepared:
    """What the runs start from.

    Attributes:
        source: in memory; the durable one has the same history.
        storage: the durable one's directory, to be copied.
        store: directory of a backup of it.
    """

    source: Database
    storage: Path
    store: Path


async def prepare(connector: Connector, scratch: Path) -> Prepared:
    """Makes a durable database and its backup."""
    uri = f"datomic:local://crash/source?storage-dir={scratch / 'storage'}"
    source = await connector.open(uri, create=True)
    await source.transact_edn([SCHEMA, *PEOPLE, *MANY])
    await backup(source, str(scratch / "store"), segment_size=SEGMENT)
    return Prepared(source, scratch / "storage", scratch / "store")


async def _run(arguments: list[str], rng: random.Random, kill: str | None) -> int:
    """Runs a command, and kills it or its JVM at a random moment if told so; answers its exit code."""
    environment = dict(os.environ)
    if kill == "point":
        points = RESTORE_POINTS if arguments[0] == "restore" else BACKUP_POINTS
        point = rng.choice(sorted(points))
        environment[FAULTS_VARIABLE] = json.dumps({"kill_at": [point, rng.randint(1, points[point])]})
        command = [sys.executable, "-m", "tests.crash.child", *arguments, str(SEGMENT)]
    else:
        size = ["--segment-size", str(SEGMENT)] if arguments[0] == "backup" else []
        command = [sys.executable, "-m", "asyncrestore", "--json", *arguments, *size]
    process = await anyio.open_process(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    async with process, anyio.create_task_group() as tasks:
        words: list[bytes] = []

        async def listen() -> None:
            assert process.stderr is not None
            words.extend([part async for part in process.stderr])

        tasks.start_soon(listen)
        if kill in {"command", "jvm"}:
            with anyio.move_on_after(rng.uniform(0.2, COMMAND_S)):
                await process.wait()
            _kill(process.pid, whom=kill)
        with anyio.fail_after(DEADLINE_S):
            code = await process.wait()
    said = b"".join(words).decode()
    expected = {None: {0}, "command": {0, -9}, "point": {0, -9}, "jvm": {0, 14}}[kill]
    assert code in expected or _half_made(code, said), (
        f"{arguments[0]}, kill {kill}: exit code {code}: {said}"
    )
    assert "Traceback" not in said, said
    return code


def _half_made(code: int, said: str) -> bool:
    return code == HALF_MADE and "lacks a part of Datomic's base schema" in said


def _kill(pid: int, *, whom: str) -> None:
    """SIGKILL to the command, or to its JVM if it has one already."""
    try:
        process = psutil.Process(pid)
        victims = [process] if whom == "command" else process.children()
        for victim in victims:
            victim.kill()
    except psutil.NoSuchProcess:
        return  # it had ended


async def run_processes(connector: Connector, prepared: Prepared, scratch: Path, seed: int) -> Counter[str]:
    """One run: kills, then the same command to its end; answers how often what happened.

    Raises:
        AssertionError: a history differs, or a command did not end as it must.
        TimeoutError: it hangs.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    place = scratch / f"run{seed}"
    restoring = rng.random() < 0.7
    if restoring:
        uri = f"datomic:local://crash/target?storage-dir={place}"
        arguments = ["restore", str(prepared.store), uri]
    else:
        await anyio.to_thread.run_sync(shutil.copytree, prepared.storage, place)
        arguments = [
            "backup", f"datomic:local://crash/source?storage-dir={place}", str(scratch / f"store{seed}"),
        ]  # fmt: skip
    happened: Counter[str] = Counter()
    for _ in range(rng.randint(1, 3)):
        kill = rng.choice(["command", "jvm", "point"])
        code = await _run(arguments, rng, kill)
        happened[f"{arguments[0]}: {kill} killed" if code else "not killed in time"] += 1
    if await _run(arguments, rng, None) == HALF_MADE:
        # Killed while Datomic Local made the database. What the error says is to be done:
        await anyio.to_thread.run_sync(shutil.rmtree, place)
        happened["half-made database deleted"] += 1
        await _run(arguments, rng, None)
    if restoring:
        target = await connector.open(uri)
        await check_same(prepared.source, target)
        assert (await verify(str(prepared.store), against=target)).problems == []
    else:
        await anyio.to_thread.run_sync(_check_stores, prepared.store, scratch / f"store{seed}")
    return happened


def _check_stores(whole: Path, other: Path) -> None:
    """The segments are the same files, and no half-written one is taken for one."""
    expected = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*.parquet")}
    assert {p.relative_to(other): p.read_bytes() for p in other.rglob("*.parquet")} == expected
