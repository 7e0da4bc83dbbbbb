"""Seeded runs in which everything goes wrong that can; every history must be exact: `make test-crash N=1000`.

`python -m tests.crash --runs N --processes M --seed S`. A run that fails names its seed; `--runs 1 --seed`
with that one, and `--processes` 0 or 1, does it again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from time import monotonic

import anyio

from asyncrestore.datomic.database import open_connector
from tests.crash.processes import prepare, run_processes
from tests.crash.runs import Sources, run_seed

RUNS_A_JVM = 150
"""Databases in memory stay as long as their JVM."""

PROCESSES_AT_ONCE = 2


async def in_process(seeds: list[int], kinds: Counter[str], happened: Counter[str]) -> list[int]:
    """Runs seeds in one JVM; answers those that failed."""
    failed = []
    async with open_connector() as connector:
        sources = await Sources.make(connector)
        for seed in seeds:
            try:
                kind, what = await run_seed(connector, sources, seed)
                kinds[kind] += 1
                happened.update(what)
            except Exception:  # noqa: BLE001 - whatever it is, it is this seed's failure
                traceback.print_exc()
                print(f"FAILED: seed {seed}", flush=True)
                failed.append(seed)
    return failed


async def with_processes(seeds: list[int], kinds: Counter[str], happened: Counter[str]) -> list[int]:
    """Runs seeds in processes of their own, two at a time; answers those that failed."""
    failed = []
    waiting = list(reversed(seeds))
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        async with open_connector() as connector:
            prepared = await prepare(connector, scratch)

            async def work() -> None:
                while waiting:
                    seed = waiting.pop()
                    try:
                        happened.update(await run_processes(connector, prepared, scratch, seed))
                        kinds["processes"] += 1
                    except Exception:  # noqa: BLE001 - as above
                        traceback.print_exc()
                        print(f"FAILED: processes, seed {seed}", flush=True)
                        failed.append(seed)

            async with anyio.create_task_group() as tasks:
                for _ in range(PROCESSES_AT_ONCE):
                    tasks.start_soon(work)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, help="how many of the runs kill real processes; else 5 %%")
    options = parser.parse_args()
    processes = options.runs // 20 if options.processes is None else options.processes
    started = monotonic()
    kinds, happened, failed = Counter[str](), Counter[str](), list[int]()
    seeds = list(range(options.seed, options.seed + options.runs))
    in_memory = seeds[processes:]
    if processes:
        failed += anyio.run(with_processes, seeds[:processes], kinds, happened)
    for at in range(0, len(in_memory), RUNS_A_JVM):
        failed += anyio.run(in_process, in_memory[at : at + RUNS_A_JVM], kinds, happened)
    print(f"seeds {seeds[0]} to {seeds[-1]}: {len(seeds) - len(failed)} of {len(seeds)} histories exact")
    print(f"{monotonic() - started:.0f} s; runs: {dict(kinds)}")
    print(f"happened: {dict(happened)}")
    if failed:
        print(f"failed seeds: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
