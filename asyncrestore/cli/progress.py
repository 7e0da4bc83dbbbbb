"""Shows the progress of a long command: a bar on a terminal, else a line now and then; or JSON lines."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asyncrestore.cli.meter import Meter
from asyncrestore.cli.text import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.cli.options import Settings
    from asyncrestore.cli.output import Output
    from asyncrestore.progress import OnProgress, Progress

LINE_INTERVAL_S = 30.0
STATUS_INTERVAL_S = 1.0


@contextmanager
def show_progress(label: str, output: Output, settings: Settings) -> Iterator[OnProgress]:
    """Yields the function to pass to a job as `on_progress`."""
    if settings.quiet or settings.no_progress:
        yield lambda _: None
    elif settings.json:
        yield statuses(label, output, Meter())
    elif sys.stderr.isatty():
        # Importing rich takes as long as everything else that a small command needs.
        from asyncrestore.cli.progress_bar import progress_bar  # noqa: PLC0415

        with progress_bar(label, Meter()) as on_progress:
            yield on_progress
    else:
        yield lines(label, output, Meter())


def statuses(label: str, output: Output, meter: Meter) -> OnProgress:
    """Returns an `on_progress` that writes JSON lines: one at once, then at most one a second."""

    def on_progress(progress: Progress) -> None:
        if meter.due(STATUS_INTERVAL_S, at_once=True):
            output.status({"action": label, **meter.measure(progress)})

    return on_progress


def lines(label: str, output: Output, meter: Meter) -> OnProgress:
    """Returns an `on_progress` that writes a line of text every 30 s, for logs."""

    def on_progress(progress: Progress) -> None:
        if meter.due(LINE_INTERVAL_S):
            numbers = meter.measure(progress)
            left = numbers["remaining_seconds"]
            output.note(
                f"{label}: {numbers['fraction']:.1%}, {progress.transactions:,} transactions,"
                f" {numbers['transactions_per_second']:,.0f}/s"
                + ("" if left is None else f", {duration(left)} left")
            )

    return on_progress
