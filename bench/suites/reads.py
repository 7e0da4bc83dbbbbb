"""Suite `reads`: backup and verify beside a plain read of the log in the JVM."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from bench.children import BenchError, python
from bench.figures import Figures
from bench.sources import Target, local

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.sources import Source

NAMES = {
    "read log": "plain read of the source's log in the JVM",
    "backup": "backup",
    "verify": "verify of the store",
    "read target": "plain read of the target's log in the JVM",
    "verify against": "verify of the target against the store",
}


def measure(source: Source, plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("reads", source.about())
    for _ in range(plan.repeats):
        _backup(source, figures)
    store = str(source.backup.path)
    with Target(source.scratch, "disk") as storage:
        python("restore to verify", "restore", store=store, uri=local(storage, "target"))
        uri = local(storage, "target0")
        for _ in range(plan.repeats):
            figures.add("verify", python("verify", "verify", store=store, against=None))
            read = source.jvm("read the target's log", "readlog", storage, "bench", "target0", 1)
            figures.add("read target", read)
            figures.add("verify against", python("verify against", "verify", store=store, against=uri))
    for side, name in NAMES.items():
        rates = [run["datoms"] / run["seconds"] for run in figures.runs.get(side, [])]
        figures.row(f"{name}, datoms/s", rates)
    for side in ("backup", "verify", "verify against"):
        peaks = [run["peak_mb"] for run in figures.runs[side]]
        figures.row(f"peak memory of the Python process: {NAMES[side]}, MB", peaks)
    return figures


def _backup(source: Source, figures: Figures) -> None:
    """A backup, in turn with a plain read of the log; without a limit both must see the same."""
    store = source.scratch / "store-again"
    read = None
    if source.limit is None:
        read = source.jvm("read the log", "readlog", source.storage, "bench", source.db, 1)
        figures.add("read log", read)
    done = python("backup", "backup", uri=source.uri, store=str(store), limit=source.limit)
    figures.add("backup", done)
    shutil.rmtree(store)
    if read is not None and read["datoms"] != done["datoms"]:
        raise BenchError("the backup and the plain read of the log differ in their number of datoms")
