"""Suite `starts`: what a user waits for before anything happens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from bench.children import DEADLINE_S, BenchError, progress, python
from bench.figures import Figures

if TYPE_CHECKING:
    from bench.plan import Plan

SECONDS = "{:.2f}"


def measure(plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    figures = Figures("starts", "Start, seconds")
    for _ in range(plan.repeats):
        figures.add("version", {"seconds": _version()})
        figures.add("first answer", python("first answer", "first-answer"))
    figures.row("`asyncrestore --version`", _seconds(figures, "version"), SECONDS)
    figures.row("from starting the JVM to its first answer", _seconds(figures, "first answer"), SECONDS)
    return figures


def _seconds(figures: Figures, side: str) -> list[float]:
    return [run["seconds"] for run in figures.runs[side]]


def _version() -> float:
    program = str(Path(sys.executable).with_name("asyncrestore"))
    started = monotonic()
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"asyncrestore --version: {error}") from error
    if done.returncode != 0:
        raise BenchError(f"asyncrestore --version: exit code {done.returncode}: {done.stderr[-500:]}")
    taken = monotonic() - started
    progress(f"  asyncrestore --version: {taken:.2f} s")
    return taken
