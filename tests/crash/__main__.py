"""Seeded runs in which everything goes wrong that can; every history must be exact: `make test-crash N=1000`.

    python -m tests.crash --runs N --processes M --seed S --engine local|peer|cloud|peer-server

A run that fails names its seed; `--runs 1 --seed` with that one, and `--processes` 0 or 1, does it again. The
peer's databases are in memory, in its JVM, and go with it: there no process is killed. The last two are run
against the tests' server (`tests/crash/servers.py`).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from time import monotonic

import anyio

from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import LOCAL
from tests.crash.processes import DEADLINE_S as COMMAND_DEADLINE_S
from tests.crash.processes import prepare, run_processes
from tests.crash.runs import DEADLINE_S, Sources, run_seed
from tests.crash.servers import run_on_server
from tests.crash.tally import Tally
from tests.support.cloud.server import open_server
from tests.support.engines import IN_MEMORY, REMOTE

RUNS_A_JVM = 100
"""Databases in memory stay as long as their JVM."""

PROCESSES_AT_ONCE = 1
"""Beside the runs in this process."""


async def in_process(engine: str, seeds: list[int], tally: Tally) -> None:
    """Runs seeds one after the other, some of them in one JVM."""
    for at in range(0, len(seeds), RUNS_A_JVM):
        async with open_connector() as connector:
            sources = await Sources.make(connector, engine)
            for seed in seeds[at : at + RUNS_A_JVM]:
                try:
                    tally.add(*await run_seed(connector, sources, seed))
                except Exception:  # noqa: BLE001 - whatever it is, it is this seed's failure
                    traceback.print_exc()
                    print(f"FAILED: seed {seed}", flush=True)
                    tally.failed.append(f"{seed}")


async def on_server(engine: str, seeds: list[int], tally: Tally) -> None:
    """Runs seeds against a server, which has its databases in memory."""
    for at in range(0, len(seeds), RUNS_A_JVM):
        with tempfile.TemporaryDirectory() as directory:
            async with open_server(Path(directory)) as server:
                os.environ.update(server.client_environment())
                async with open_connector() as connector:
                    sources = await Sources.make(connector, LOCAL)
                    for seed in seeds[at : at + RUNS_A_JVM]:
                        try:
                            tally.add(engine, await run_on_server(connector, server, sources, engine, seed))
                        except Exception:  # noqa: BLE001 - as above
                            traceback.print_exc()
                            print(f"FAILED: seed {seed}", flush=True)
                            tally.failed.append(f"{seed}")


async def with_processes(seeds: list[int], tally: Tally) -> None:
    """Runs seeds in processes of their own."""
    waiting = list(reversed(seeds))
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        async with open_connector() as connector:
            prepared = await prepare(connector, scratch)

            async def work() -> None:
                while waiting:
                    seed = waiting.pop()
                    try:
                        tally.add("processes", await run_processes(connector, prepared, scratch, seed))
                    except Exception:  # noqa: BLE001 - as above
                        traceback.print_exc()
                        print(f"FAILED: processes, seed {seed}", flush=True)
                        tally.failed.append(f"{seed} (processes)")

            async with anyio.create_task_group() as tasks:
                for _ in range(PROCESSES_AT_ONCE):
                    tasks.start_soon(work)


async def run_all(engine: str, seeds: list[int], processes: int, tally: Tally) -> None:
    """The first seeds in processes of their own, the others meanwhile in this one."""
    async with anyio.create_task_group() as tasks:
        if processes:
            tasks.start_soon(with_processes, seeds[:processes], tally)
        run = on_server if engine in REMOTE else in_process
        tasks.start_soon(run, engine, seeds[processes:], tally)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=[*IN_MEMORY, *sorted(REMOTE)], default=LOCAL)
    parser.add_argument("--processes", type=int, help="how many of the runs kill real processes; else 10 %%")
    options = parser.parse_args()
    local = options.engine == LOCAL
    processes = options.runs // 10 if options.processes is None else options.processes
    processes = processes if local else 0
    started, tally = monotonic(), Tally()
    seeds = list(range(options.seed, options.seed + options.runs))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        anyio.run(run_all, options.engine, seeds, processes, tally)
    except KeyboardInterrupt:
        print("stopped early")
    done = tally.runs.total()
    print(f"{options.engine}, seeds {seeds[0]} to {seeds[-1]}: {done} of {len(seeds)} histories exact")
    print(f"{monotonic() - started:.0f} s; deadlines: {DEADLINE_S} s a run, {COMMAND_DEADLINE_S} s a command")
    print(f"runs: {dict(tally.runs)}\n{tally.table()}")
    if tally.failed:
        print(f"failed seeds: {', '.join(tally.failed)}")
    return 0 if done == len(seeds) else 1


if __name__ == "__main__":
    sys.exit(main())
