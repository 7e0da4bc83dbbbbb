"""Suite `cache`: what the size of the id cache does to a restore in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import Figures
from bench.restores import restored

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.sources import Source


def measure(source: Source, plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("cache", f"{source.about()}; in memory, by the id cache's size")
    for _ in range(plan.repeats):
        for size in plan.cache_sizes:
            done = restored(f"{size:,} ids", source.backup, rounds=2, id_cache_size=size)
            figures.add(str(size), done)
    largest = str(plan.cache_sizes[-1])
    for size in plan.cache_sizes:
        figures.rate(f"{size:,} ids", str(size))
        figures.rate(f"{size:,} ids, the JVM warm", str(size), "warm_seconds")
    for size in plan.cache_sizes[:-1]:
        some, all_ = (figures.rates(each, "warm_seconds") for each in (str(size), largest))
        figures.ratio(f"{size:,} ids / {int(largest):,} ids, the JVM warm", some, all_)
    for size in plan.cache_sizes:
        hits = [
            run["cache_hits"] / (run["cache_hits"] + run["cache_misses"]) for run in figures.runs[str(size)]
        ]
        figures.row(f"{size:,} ids: look-ups that found the id", hits, "{:.3f}")
        figures.row(f"{size:,} ids: peak memory, MB", [run["peak_mb"] for run in figures.runs[str(size)]])
    return figures
