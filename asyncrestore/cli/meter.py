"""Measures how fast a long command is, and says when to report it again."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.progress import Progress


class Meter:
    """Measures a job from its first report on: starting Datomic before that is not part of its rate.

    Args:
        clock: returns the time in seconds; monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started: float | None = None
        self._last_due = 0.0

    def due(self, interval_s: float, *, at_once: bool = False) -> bool:
        """Returns whether a report is due: `interval_s` after the last one that was.

        The first interval begins with the first call. With `at_once` that call is due too.
        """
        elapsed = self._elapsed()
        if elapsed - self._last_due < interval_s and not (at_once and not elapsed):
            return False
        self._last_due = elapsed
        return True

    def _elapsed(self) -> float:
        now = self._clock()
        if self._started is None:
            self._started = now
        return now - self._started

    def measure(self, progress: Progress) -> dict[str, Any]:
        """Returns the job in numbers; `remaining_seconds` is None as long as it cannot be estimated."""
        elapsed = self._elapsed()
        fraction = progress.fraction
        return {
            "fraction": round(fraction, 4),
            "t": progress.committed_t,
            "end_t": progress.end_t,
            "transactions": progress.transactions,
            "datoms": progress.datoms,
            "seconds": round(elapsed, 1),
            "transactions_per_second": round(progress.transactions / elapsed, 1) if elapsed else 0.0,
            "remaining_seconds": round(elapsed * (1 - fraction) / fraction, 1) if fraction else None,
        }
