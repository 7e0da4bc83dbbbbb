"""Suite `size`: rate and memory over the size of a generated history, in memory, beside the ceiling."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bench.children import python
from bench.figures import Figures
from bench.restores import pair
from bench.sources import Backup, Recording, record
from bench.tenths import rates_of_tenths

if TYPE_CHECKING:
    from bench.children import Jvm
    from bench.plan import Plan

ROUNDS_TRANSACTIONS = 8_000
"""A JVM restores a history until at least this many transactions warmed it for the last round."""


def measure(jvm: Jvm, plan: Plan, scratch: Path) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("size", "Generated histories, transactions of some 24 datoms; Datomic Local in memory")
    figures.facts["sizes"] = list(plan.sizes)
    histories = _histories(plan, scratch)
    for _ in range(plan.repeats):
        for size, (backup, recording) in histories.items():
            rounds = 2 + ROUNDS_TRANSACTIONS // backup.transactions
            loop, ours = pair(f"{size:,} datoms", jvm, backup, recording, scratch, "memory", rounds)
            for side, run in {"ceiling": loop, "restore": ours}.items():
                figures.add(f"{side} {size}", {**run, "datoms": backup.datoms})
    shutil.rmtree(scratch)
    _rates_by_size(figures, plan)
    _tenths(figures, plan.sizes[-1])
    _memory(figures, plan)
    return figures


def _histories(plan: Plan, scratch: Path) -> dict[int, tuple[Backup, Recording]]:
    made = python("generate", "generate", directory=str(scratch), sizes=list(plan.sizes))
    histories = {}
    for size, store in zip(plan.sizes, made["stores"], strict=True):
        backup = Backup(Path(store["path"]), store["transactions"], store["datoms"])
        histories[size] = backup, record(backup, scratch / f"recording-{size}")
    return histories


def _rates_by_size(figures: Figures, plan: Plan) -> None:
    for size in plan.sizes:
        for measure_, when in (("seconds", ""), ("warm_seconds", ", the JVM warm")):
            figures.rate(f"restore, {size:,} datoms{when}", f"restore {size}", measure_)
            figures.rate(f"the ceiling, {size:,} datoms{when}", f"ceiling {size}", measure_)
            ours, loop = (figures.rates(f"{side} {size}", measure_) for side in ("restore", "ceiling"))
            figures.ratio(f"restore / ceiling within transact, {size:,} datoms{when}", ours, loop)
        for prefix, when in {"": "", "warm_": ", the JVM warm"}.items():
            ours, wall = (
                figures.rates(f"restore {size}", f"{prefix}seconds"),
                figures.rates(f"ceiling {size}", f"{prefix}loop_seconds"),
            )
            figures.ratio(f"restore / ceiling by the clock, {size:,} datoms{when}", ours, wall)


def tenths(figures: Figures, side: str, size: int, prefix: str) -> list[list[float]]:
    """For each run the transactions a second in each tenth of it."""
    runs = figures.runs[f"{side} {size}"]
    return [rates_of_tenths(run["transactions"], run[f"{prefix}tenths"]) for run in runs]


def _tenths(figures: Figures, size: int) -> None:
    for prefix, when in {"": "", "warm_": ", the JVM warm"}.items():
        slopes = []
        for side, name in {"restore": "restore", "ceiling": "the ceiling"}.items():
            rates = tenths(figures, side, size, prefix)
            for at, which in {0: "first", -1: "last"}.items():
                title = f"{name}, {which} tenth of {size:,} datoms{when}, transactions/s"
                figures.row(title, [each[at] for each in rates])
            slopes.append([each[-1] / each[0] for each in rates])
            figures.row(f"{name}, last / first tenth{when}", slopes[-1], "{:.2f}")
        ours, loop = slopes
        figures.ratio(f"the same of the restore / of the ceiling{when}", ours, loop)


def _memory(figures: Figures, plan: Plan) -> None:
    peaks = {size: [run["peak_mb"] for run in figures.runs[f"restore {size}"]] for size in plan.sizes}
    for size, values in peaks.items():
        figures.row(f"peak memory of the Python process, {size:,} datoms, MB", values)
    large, middle = plan.sizes[-1], plan.sizes[-2]
    figures.ratio(f"peak memory, {large:,} / {middle:,} datoms", peaks[large], peaks[middle])
