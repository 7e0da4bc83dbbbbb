"""Suite `store`: restoring from S3 (moto's server, another process) beside the filesystem, into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.children import python
from bench.figures import Figures
from bench.restores import ROUNDS, restored
from bench.s3 import s3_server

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.sources import Source


def measure(source: Source, plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("store", f"{source.about()}; in memory, by store")
    with s3_server() as (uri, environment):
        store = str(source.backup.path)
        figures.add("copy", python("copy to S3", "copy", environment, store=store, other=uri))
        for _ in range(plan.repeats):
            figures.add("filesystem", restored("from the filesystem", source.backup, rounds=ROUNDS))
            far = restored("from S3", source.backup, rounds=ROUNDS, store=uri, environment=environment)
            figures.add("S3", far)
    for measure_, when in (("seconds", ""), ("warm_seconds", ", the JVM warm")):
        for side in ("filesystem", "S3"):
            figures.rate(f"restore from {side}{when}", side, measure_)
        ours, theirs = (figures.rates(side, measure_) for side in ("S3", "filesystem"))
        figures.ratio(f"S3 / filesystem{when}", ours, theirs)
    for side in ("filesystem", "S3"):
        peaks = [run["peak_mb"] for run in figures.runs[side]]
        figures.row(f"peak memory of the Python process, {side}, MB", peaks)
    return figures
