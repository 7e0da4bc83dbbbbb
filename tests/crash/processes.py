"""Seeded runs of real processes on durable databases, killed by SIGKILL; then the same command to its end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import psutil

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.verify import verify
from asyncrestore.segments.segment import Segment
from tests.crash.child import FAULTS_VARIABLE
from tests.crash.runs import MANY, SEGMENT
from tests.histories import PEOPLE, SCHEMA
from tests.support.comparison import check_copy

if TYPE_CHECKING:
    from pathlib import Path

    from anyio.abc import Process

    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import Connector

DEADLINE_S = 300
"""Limit for one command. On an idle machine none takes a tenth of it."""

AT_WORK_S = {"restore": 0.8, "backup": 0.15}
"""Seconds that a command works, roughly, after its first status."""

HALF_MADE = 13

POINTS = {
    "restore": {
        "before-submit": 12, "after-submit": 12, "before-answer": 12, "before-transact-edn": 1,
        "after-transact-edn": 1, "before-read": 3,
    },
    "backup": {"before-publish": 5, "after-publish": 5, "before-read-log": 5},
}  # fmt: skip
"""The number of times that a whole command passes each."""

CERTAIN_POINTS = {"restore": {"before-read": 1}, "backup": {"before-read-log": 1}}
"""Points that a command passes even when nothing is left to do."""

_AT_A_POINT = "to the command at a named point"
KILLS = {
    "command": "to the command", "jvm": "to its JVM", "point": _AT_A_POINT, "certain point": _AT_A_POINT,
}  # fmt: skip
"""What each kind of kill hits."""


@dataclass(frozen=True)
class Prepared:
    """What the runs start from.

    Attributes:
        source: the database, open here.
        storage: its directory, to be copied.
        store: directory of a backup of it.
        seconds: about how long a command takes.
    """

    source: Database
    storage: Path
    store: Path
    seconds: float


async def prepare(connector: Connector, scratch: Path) -> Prepared:
    """Makes a durable database and its backup, and measures how long a restore takes."""
    uri = f"datomic:local://crash/source?storage-dir={scratch / 'storage'}"
    source = await connector.open(uri, create=True)
    await source.transact_edn([SCHEMA, *PEOPLE, *MANY])
    await backup(source, str(scratch / "store"), segment_size=SEGMENT)
    started = monotonic()
    target = f"datomic:local://crash/target?storage-dir={scratch / 'first'}"
    await _run(["restore", str(scratch / "store"), target], random.Random(0), None, 0)  # noqa: S311 - no secret
    return Prepared(source, scratch / "storage", scratch / "store", monotonic() - started)


async def _run(arguments: list[str], rng: random.Random, kill: str | None, seconds: float) -> int:
    """Runs a command; kills it or its JVM, if asked to, within `seconds`. Returns the exit code.

    Without seconds it is killed at work, soon after its first status.
    """
    # A JVM that lives for seconds gains nothing from its second compiler.
    environment = {**os.environ, "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
    if kill in {"point", "certain point"}:
        points = (POINTS if kill == "point" else CERTAIN_POINTS)[arguments[0]]
        point = rng.choice(sorted(points))
        environment[FAULTS_VARIABLE] = json.dumps({"kill_at": [point, rng.randint(1, points[point])]})
        command = [sys.executable, "-m", "tests.crash.child", *arguments, str(SEGMENT)]
    else:
        size = ["--segment-size", str(SEGMENT)] if arguments[0] == "backup" else []
        command = [sys.executable, "-m", "asyncrestore", "--json", *arguments, *size]
    process = await anyio.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    async with process, anyio.create_task_group() as tasks:
        words: list[bytes] = []
        speaks = anyio.Event()

        async def listen() -> None:
            assert process.stderr is not None
            words.extend([part async for part in process.stderr])

        async def watch() -> None:
            assert process.stdout is not None
            async for _ in process.stdout:
                speaks.set()
            speaks.set()

        tasks.start_soon(listen)
        tasks.start_soon(watch)
        with anyio.fail_after(DEADLINE_S):
            if kill in {"command", "jvm"}:
                await _kill(
                    process, kill, rng, seconds or AT_WORK_S[arguments[0]], speaks if not seconds else None
                )
            code = await process.wait()
    said = b"".join(words).decode()
    expected = {0} if kill is None else {0, 14 if kill == "jvm" else -signal.SIGKILL}
    assert code in expected or _half_made(code, said), (
        f"{arguments[0]}, kill {kill}: exit code {code}: {said}"
    )
    assert "Traceback" not in said, said
    return code


def _half_made(code: int, said: str) -> bool:
    return code == HALF_MADE and "lacks a part of Datomic's base schema" in said


async def _kill(
    process: Process, whom: str, rng: random.Random, seconds: float, after: anyio.Event | None
) -> None:
    """SIGKILL to the command, or to its JVM if it has one by then, within `seconds`."""
    if after:
        await after.wait()
    with anyio.move_on_after(rng.uniform(0, seconds)):
        await process.wait()
    try:
        command = psutil.Process(process.pid)
        victims = [command] if whom == "command" else command.children()
        for victim in victims:
            victim.kill()
    except psutil.NoSuchProcess:
        return  # it had ended


async def run_processes(connector: Connector, prepared: Prepared, scratch: Path, seed: int) -> Counter[str]:
    """One run: kills, then the same command to its end. Returns how often each thing happened.

    Raises:
        AssertionError: a history differs, or a command did not end as it must.
        TimeoutError: it hangs.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    place = scratch / f"run{seed}"
    restoring = rng.random() < 0.6
    if restoring:
        uri = f"datomic:local://crash/target?storage-dir={place}"
        arguments = ["restore", str(prepared.store), uri]
    else:
        await anyio.to_thread.run_sync(shutil.copytree, prepared.storage, place)
        arguments = [
            "backup", f"datomic:local://crash/source?storage-dir={place}", str(scratch / f"store{seed}"),
        ]  # fmt: skip
    happened: Counter[str] = Counter()
    wanted = rng.choice([1, 1, 2])
    for attempt in range(wanted + 1):
        if attempt == wanted and happened:
            break
        # The last, if all before it came too late.
        kill = rng.choice(["command", "jvm", "point"]) if attempt < wanted else "certain point"
        # The first at work or at a point, where there is most to lose; others also while it starts or ends.
        at_work = attempt == 0 or rng.random() < 0.7
        code = await _run(arguments, rng, kill, 0.0 if at_work else prepared.seconds)
        if code:
            happened[f"{arguments[0]}: SIGKILL {KILLS[kill]}"] += 1
    if await _run(arguments, rng, None, 0) == HALF_MADE:
        # Killed while Datomic Local made the database. What the error says is to be done:
        await anyio.to_thread.run_sync(shutil.rmtree, place)
        happened["restore: half-made database deleted"] += 1
        await _run(arguments, rng, None, 0)
    if restoring:
        target = await connector.open(uri)
        await check_copy(prepared.source, target)
        assert (await verify(str(prepared.store), against=target)).problems == []
    else:
        await anyio.to_thread.run_sync(_check_stores, prepared.store, scratch / f"store{seed}")
    return happened


def _check_stores(whole: Path, other: Path) -> None:
    """The segments are the same, but for the id of the backup, and no half-written one is taken for one."""
    expected = {path.relative_to(whole): Segment(path.read_bytes()) for path in whole.rglob("*.parquet")}
    made = {path.relative_to(other): Segment(path.read_bytes()) for path in other.rglob("*.parquet")}
    assert made.keys() == expected.keys()
    for key, segment in made.items():
        assert segment.same_rows(expected[key])
        assert replace(segment.info, backup=expected[key].info.backup) == expected[key].info
    assert len({segment.info.backup for segment in made.values()}) == 1
