"""Measures how fast a long command is, and when it is time to say so."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.progress import Progress


class Meter:
    """How fast a job is, from its first report on: starting Datomic before that is not part of its rate.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started: float | None = None
        self._told = 0.0

    def due(self, interval_s: float, *, at_once: bool = False) -> bool:
        """Whether so long has passed since it last said so (or since the first report, if not `at_once`)."""
        elapsed = self._elapsed()
        if elapsed - self._told < interval_s and not (at_once and not elapsed):
            return False
        self._told = elapsed
        return True

    def _elapsed(self) -> float:
        now = self._clock()
        if self._started is None:
            self._started = now
        return now - self._started

    def measure(self, progress: Progress) -> dict[str, Any]:
        """The job in numbers; `remaining_s` is None while nothing is known."""
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
