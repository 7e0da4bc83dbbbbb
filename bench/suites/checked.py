"""Suite `checked`: what it costs a backup to hold the log against an index, on both engines, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.children import python
from bench.figures import Figures
from bench.restores import MEMORY, PEER

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.sources import Source

ROUNDS = 8
"""Backups of each kind in one JVM, in turn; the first pair warms it up."""


def measure(source: Source, plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("checked", source.about())
    for engine, uri in (("Datomic Local", MEMORY), ("Datomic Pro's peer", PEER)):
        ratios = []
        for _ in range(plan.repeats):
            done = python("checked", "checked", store=str(source.backup.path), uri=uri, rounds=ROUNDS)
            figures.add(engine, done)
            pairs = zip(done["checked_seconds"], done["unchecked_seconds"], strict=True)
            ratios += [checked / unchecked for checked, unchecked in list(pairs)[1:]]
        figures.row(f"{engine}: a backup / one whose log is not held against an index", ratios, "{:.2f}")
    return figures
