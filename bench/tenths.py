"""How the rate of a restore changes as it goes."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.progress import Progress


class Tenths:
    """Follows a restore's progress to find when each tenth of the transactions was committed."""

    def __init__(self) -> None:
        self._started = monotonic()
        self._marks: list[tuple[float, int]] = []

    def __call__(self, progress: Progress) -> None:
        """Notes how far the restore is."""
        self._marks.append((monotonic() - self._started, progress.transactions))

    def seconds(self) -> list[float]:
        """From the start to the end of each tenth; transactions of one batch count as evenly spaced."""
        return ends_of_tenths(self._marks)


def ends_of_tenths(marks: Sequence[tuple[float, int]]) -> list[float]:
    """The seconds at which each tenth was done, from marks `(seconds, transactions by then)` in order."""
    total, ends, at = marks[-1][1], [], 1
    for tenth in range(1, 11):
        wanted = total * tenth / 10
        while at < len(marks) - 1 and marks[at][1] < wanted:
            at += 1
        (before_s, before), (after_s, after) = marks[at - 1], marks[at]
        part = (wanted - before) / (after - before) if after > before else 1.0
        ends.append(round(before_s + part * (after_s - before_s), 4))
    return ends


def rates_of_tenths(transactions: int, ends_s: Sequence[float]) -> list[float]:
    """Transactions a second within each tenth."""
    starts_s = [0.0, *ends_s[:-1]]
    return [transactions / 10 / max(end - start, 1e-4) for start, end in zip(starts_s, ends_s, strict=True)]
