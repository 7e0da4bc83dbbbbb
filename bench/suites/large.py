"""Suite `large`: commands on a durable database of ten million datoms, each in a process of its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from bench.children import BenchError, python
from bench.figures import Figures
from bench.sources import local

if TYPE_CHECKING:
    from pathlib import Path

    from bench.children import Jvm
    from bench.plan import Plan

DATOMS = 24
"""In a transaction of `jvm/large.clj`."""

DEADLINE_S = 4 * 3600.0


def measure(jvm: Jvm, plan: Plan, scratch: Path) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    made = jvm("generate", "large", scratch / "source", "bench", "large", plan.large // DATOMS)
    size = f"{made['datoms']:,} datoms in {made['transactions']:,} transactions"
    figures = Figures("large", f"Generated, durable: {size}")
    figures.facts["made"] = made
    source, copy = local(scratch / "source", "large"), local(scratch / "copy", "copy")
    store = str(scratch / "store")
    commands: list[tuple[str, str, dict[str, Any]]] = [
        ("info of the source, without its indexes", "info", {"place": source}),
        ("info of the source, with its indexes", "info", {"place": source}),
        ("backup", "backup", {"source": source, "store": store}),
        ("restore", "restore", {"source": store, "target": copy}),
        ("info of the copy", "info", {"place": copy}),
        ("verify of the store", "verify", {"source": store}),
        ("verify of the copy", "verify", {"source": store, "against": copy}),
    ]
    for name, job, arguments in commands:
        done = python(name, "job", deadline_s=DEADLINE_S, job=job, **arguments)
        if not done["ok"]:
            raise BenchError(f"{name}: {done}")
        figures.add(name, done)
    shutil.rmtree(scratch)
    for what, measure_ in (
        ("seconds", "seconds"),
        ("memory of the Python process, MB", "peak_mb"),
        ("memory of the JVM, MB", "jvm_peak_mb"),
    ):
        for name, runs in figures.runs.items():
            figures.row(f"{name}: {what}", [run[measure_] for run in runs])
    return figures
