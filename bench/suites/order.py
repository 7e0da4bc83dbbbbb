"""Suite `order`: a database that promises no order, behind a network with jitter, beside waiting for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.children import python
from bench.figures import Figures
from bench.restores import restored
from bench.suites.latency import network

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.sources import Source

ROUND_TRIP_MS = 5.0
JITTERS_MS = (0.5, 5.0)
SIDES = {"restore": 1024, "waiting": 1}
"""Transactions in flight, at most."""


def measure(source: Source, plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    backup = source.first(plan.first)
    title = f"{source.title}, the first {backup.transactions:,}; {ROUND_TRIP_MS:g} ms, no order promised"
    figures = Figures("order", title)
    networks = {f"{jitter:g} ms": network(ROUND_TRIP_MS, jitter) for jitter in JITTERS_MS}
    figures.facts["measured_round_trip_ms"] = python("round trips", "round-trips", networks=networks)
    for repeat in range(plan.repeats):
        for jitter in JITTERS_MS:
            far = network(ROUND_TRIP_MS, jitter, ordered=False, seed=repeat)
            for side, in_flight in SIDES.items():
                what = f"{side}, jitter {jitter:g} ms"
                done = restored(what, backup, warm_up=True, network=far, in_flight=in_flight)
                figures.add(f"{side} {jitter:g}", done)
    for jitter in JITTERS_MS:
        after = f", {jitter:g} ms of jitter each way"
        figures.rate(f"restore{after}", f"restore {jitter:g}")
        figures.rate(f"restore that waits for each{after}", f"waiting {jitter:g}")
        ours, waiting = (figures.rates(f"{side} {jitter:g}") for side in SIDES)
        figures.ratio(f"restore / restore that waits for each{after}", ours, waiting)
    return figures
