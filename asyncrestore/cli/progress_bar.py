"""A progress bar, drawn by rich on the terminal behind stderr."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.cli.meter import Meter
    from asyncrestore.progress import OnProgress
    from asyncrestore.progress import Progress as Watermarks


@contextmanager
def progress_bar(label: str, meter: Meter) -> Iterator[OnProgress]:
    """Shows a bar while the context lasts, and then removes it: the summary replaces it."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(label, total=None, done="starting")

    def on_progress(progress: Watermarks) -> None:
        rate = meter.measure(progress)["transactions_per_second"]
        bar.update(
            task,
            total=max(1, progress.end_t - progress.start_t),
            completed=progress.committed_t - progress.start_t,
            done=f"{progress.transactions:,} transactions, {rate:,.0f}/s",
        )

    with bar:
        yield on_progress
