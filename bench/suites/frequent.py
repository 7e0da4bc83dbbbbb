"""Suite `frequent`: backups of one datom each, with many attributes, and a restore that continues there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.children import BenchError, python
from bench.figures import Figures

if TYPE_CHECKING:
    from pathlib import Path

    from bench.plan import Plan

SECONDS = "{:.2f}"


def measure(plan: Plan, scratch: Path) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("frequent", f"{plan.attributes:,} attributes with docs, increments of one datom")
    for repeat in range(plan.repeats):
        store = str(scratch / f"store-{repeat}")
        made = python("backups", "increments", store=store, attributes=plan.attributes, count=plan.increments)
        figures.add("backups", made)
        done = python("continue a restore", "continued", store=store)
        if done["transactions"] != 1:
            raise BenchError(f"{done['transactions']} transactions were left instead of 1")
        figures.add("continued", done)
    backups = figures.runs["backups"]
    figures.row("an increment, bytes", [size for run in backups for size in run["bytes"]])
    figures.row("the first segment, bytes", [run["first_bytes"] for run in backups])
    figures.row(
        "the backup of an increment, seconds", [s for run in backups for s in run["backup_seconds"]], SECONDS
    )
    behind = f"a restore of one transaction that continues behind {plan.increments:,} increments, seconds"
    figures.row(behind, [run["seconds"] for run in figures.runs["continued"]], SECONDS)
    return figures
