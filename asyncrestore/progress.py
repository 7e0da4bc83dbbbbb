"""How far a long job is, for callers that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(slots=True)
class Progress:
    """The watermarks of a job. Every t is the source's.

    Attributes:
        start_t: where the job began.
        end_t: the first t that is not part of the job.
        fetched_t: everything below is loaded.
        resolved_t: everything below is resolved.
        committed_t: everything below is done: in the target, in the store, or compared.
        transactions: how many are done.
        datoms: how many datoms of the source these have.
    """

    start_t: int
    end_t: int
    fetched_t: int = 0
    resolved_t: int = 0
    committed_t: int = 0
    transactions: int = 0
    datoms: int = 0

    def __post_init__(self) -> None:
        self.fetched_t = self.resolved_t = self.committed_t = self.start_t

    @property
    def fraction(self) -> float:
        """The part of the range that is done, 0 to 1."""
        return min(1.0, (self.committed_t - self.start_t) / max(1, self.end_t - self.start_t))


OnProgress: TypeAlias = Callable[[Progress], None]
"""Called now and then within the event loop, so it must return at once."""
