"""Suite `restore`: beside the ceiling in memory and on disk, and beside the predecessor's algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import TIMES, Figures
from bench.restores import ROUNDS, pair, predecessor, restored
from bench.sources import Target, local

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.sources import Source

PLACES = {"memory": "in memory", "disk": "on disk"}


def measure(source: Source, plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("restore", source.about())
    for place, name in PLACES.items():
        for _ in range(plan.repeats):
            rounds = ROUNDS if place == "memory" else 1
            loop, ours = pair(
                name, source.jvm, source.backup, source.recording, source.scratch, place, rounds
            )
            figures.add(f"ceiling {place}", loop)
            figures.add(f"restore {place}", ours)
        _predecessor(source, plan, figures, place)
    for place, name in PLACES.items():
        _beside_the_ceiling(figures, place, name)
        _beside_the_predecessor(figures, place, name)
    peaks = [run["peak_mb"] for run in figures.runs["restore memory"]]
    figures.row("peak memory of the Python process, MB", peaks)
    return figures


def _predecessor(source: Source, plan: Plan, figures: Figures, place: str) -> None:
    """The predecessor's algorithm; where it gets only the first transactions, also a restore of as many."""
    whole = source.backup.transactions
    limit, rounds = (whole, 2) if place == "memory" else (min(plan.first_on_disk, whole), 1)
    for _ in range(plan.repeats):
        figures.add(f"predecessor {place}", predecessor(source, place, limit, rounds=rounds))
        if limit < whole:
            with Target(source.scratch, place) as storage:
                ours = restored(f"{place}, the first", source.first(limit), local(storage, "target"))
            figures.add(f"restore first {place}", ours)


def _beside_the_ceiling(figures: Figures, place: str, name: str) -> None:
    warm = {"": "", "warm_": ", the JVM warm"} if place == "memory" else {"": ""}
    for prefix, when in warm.items():
        ours, loop = (figures.rates(f"{side} {place}", f"{prefix}seconds") for side in ("restore", "ceiling"))
        figures.rate(f"restore {name}{when}", f"restore {place}", f"{prefix}seconds")
        figures.rate(
            f"plain loop in the JVM (the ceiling) {name}{when}", f"ceiling {place}", f"{prefix}seconds"
        )
        figures.ratio(f"restore / ceiling within transact {name}{when}", ours, loop)
        wall = figures.rates(f"ceiling {place}", f"{prefix}loop_seconds")
        figures.ratio(f"restore / ceiling by the clock {name}{when}", ours, wall)


def _beside_the_predecessor(figures: Figures, place: str, name: str) -> None:
    ours, of = f"restore {place}", ""
    if f"restore first {place}" in figures.runs:
        ours = f"restore first {place}"
        of = f", the first {figures.runs[ours][0]['transactions']:,}"
        figures.rate(f"restore {name}{of}", ours)
    measures = [("", "seconds", "first_seconds")]
    if place == "memory":
        measures.append((", the JVM warm", "warm_seconds", "seconds"))
    for when, measure_, theirs in measures:
        figures.rate(f"predecessor's algorithm {name}{of}{when}", f"predecessor {place}", theirs)
        rates = figures.rates(ours, measure_), figures.rates(f"predecessor {place}", theirs)
        figures.ratio(f"restore / predecessor {name}{of}{when}", *rates, TIMES)
