"""Suites `latency` (Datomic Local) and `peer` (Datomic Pro's peer): a network before a target in memory.

The engines keep the order of submissions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.children import Jvm, python
from bench.figures import TIMES, Figures
from bench.restores import MEMORY, PEER, ROUNDS, ceiling, predecessor, restored

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.sources import Source

WAITING_MS = 5
"""The round trip for the restore that waits for each, and for the predecessor with all transactions."""


def measure(source: Source, plan: Plan) -> Figures:
    """Measures on Datomic Local; raises `BenchError` when a run fails."""
    figures = Figures("latency", f"{source.about()}; Datomic Local in memory")
    return _measure(figures, source, plan, MEMORY, source.jvm)


def measure_peer(source: Source, plan: Plan) -> Figures:
    """Measures on Datomic Pro's peer; raises `BenchError` when a run fails."""
    figures = Figures("peer", f"{source.about()}; Datomic Pro's peer in memory")
    return _measure(figures, source, plan, PEER, Jvm.like_the_bridge("peer"))


def _measure(figures: Figures, source: Source, plan: Plan, uri: str, jvm: Jvm) -> Figures:
    networks = {f"{ms} ms": network(ms) for ms in plan.round_trips_ms}
    figures.facts["round_trips_ms"] = list(plan.round_trips_ms)
    figures.facts["waiting_ms"] = WAITING_MS
    figures.facts["measured_round_trip_ms"] = python("round trips", "round-trips", networks=networks)
    for _ in range(plan.repeats):
        if jvm is source.jvm:
            loop = ceiling("in memory", jvm, source.backup, source.recording, ":mem", 2)
            figures.add("ceiling", loop)
        _whole(figures, source, plan, uri)
        for ms in plan.round_trips_ms:
            figures.add(f"predecessor {ms} ms", predecessor(source, "memory", plan.first, ms, 2, jvm))
            figures.add(f"restore first {ms} ms", _first(source, plan, uri, ms))
        whole = predecessor(source, "memory", source.backup.transactions, WAITING_MS, jvm=jvm)
        figures.add("predecessor whole", whole)
        figures.add("waiting", _first(source, plan, uri, WAITING_MS, in_flight=1))
    if "ceiling" in figures.runs:
        figures.rate("plain loop in the JVM (the ceiling), no round trip", "ceiling")
    _whole_rows(figures, plan)
    first = f"the first {figures.runs['waiting'][0]['transactions']:,}"
    _predecessor_rows(figures, plan, first)
    _waiting_rows(figures, first)
    return figures


def network(round_trip_ms: float, jitter_ms: float = 0.0, **more: Any) -> dict[str, Any]:
    """The arguments of `Faults` for it."""
    return {"round_trip_s": round_trip_ms / 1000, "jitter_s": jitter_ms / 1000, **more}


def _whole(figures: Figures, source: Source, plan: Plan, uri: str) -> None:
    """All transactions: cold, then again in the same JVM; at first with nothing before the target."""
    figures.add("restore", restored("nothing before the target", source.backup, uri, rounds=ROUNDS))
    for ms in plan.round_trips_ms:
        done = restored(f"{ms} ms", source.backup, uri, rounds=ROUNDS, network=network(ms))
        figures.add(f"restore {ms} ms", done)


def _first(source: Source, plan: Plan, uri: str, ms: float, **options: Any) -> dict[str, Any]:
    """The first transactions, in a JVM that restored them once before, as those it is compared with."""
    backup = source.first(plan.first)
    return restored(f"{ms:g} ms, the first", backup, uri, warm_up=True, network=network(ms), **options)


def _whole_rows(figures: Figures, plan: Plan) -> None:
    nothing, last = figures.rates("restore"), plan.round_trips_ms[-1]
    figures.rate("restore, nothing before the target", "restore")
    for ms in plan.round_trips_ms:
        figures.rate(f"restore, {ms} ms", f"restore {ms} ms")
    for ms in plan.round_trips_ms:
        figures.rate(f"restore, {ms} ms, the JVM warm", f"restore {ms} ms", "warm_seconds")
    figures.ratio("restore, 0 ms / nothing before the target", figures.rates("restore 0 ms"), nothing)
    for measure_, when in (("seconds", ""), ("warm_seconds", ", the JVM warm")):
        far, near = (figures.rates(f"restore {ms} ms", measure_) for ms in (last, 0))
        figures.ratio(f"restore, {last} ms / 0 ms{when}", far, near)


def _predecessor_rows(figures: Figures, plan: Plan, first: str) -> None:
    theirs = {ms: figures.rates(f"predecessor {ms} ms") for ms in plan.round_trips_ms}
    for ms in plan.round_trips_ms:
        figures.rate(f"predecessor's algorithm, {ms} ms, {first}", f"predecessor {ms} ms")
    for ms in plan.round_trips_ms:
        name = f"restore / predecessor ({first}), {ms} ms"
        figures.ratio(name, figures.rates(f"restore {ms} ms"), theirs[ms], TIMES)
    for ms in plan.round_trips_ms:
        name = f"restore / predecessor, {first} of each, {ms} ms"
        figures.ratio(name, figures.rates(f"restore first {ms} ms"), theirs[ms], TIMES)
    whole = figures.rates("predecessor whole")
    figures.rate(f"predecessor's algorithm, {WAITING_MS} ms, all transactions", "predecessor whole")
    name = f"restore / predecessor, all transactions of each, {WAITING_MS} ms"
    figures.ratio(name, figures.rates(f"restore {WAITING_MS} ms"), whole, TIMES)


def _waiting_rows(figures: Figures, first: str) -> None:
    ours, waiting = f"restore first {WAITING_MS} ms", figures.rates("waiting")
    figures.rate(f"restore that waits for each, {WAITING_MS} ms, {first}", "waiting")
    name = f"restore / restore that waits for each ({first}), {WAITING_MS} ms"
    figures.ratio(name, figures.rates(f"restore {WAITING_MS} ms"), waiting, TIMES)
    warm = figures.rates(f"restore {WAITING_MS} ms", "warm_seconds")
    figures.ratio(f"{name}, the JVM warm", warm, waiting, TIMES)
    name = f"restore / restore that waits for each, {first} of both, {WAITING_MS} ms"
    figures.ratio(name, figures.rates(ours), waiting, TIMES)
