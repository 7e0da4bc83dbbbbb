"""What may go wrong around a database or a store, how often, and with which seed."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncrestore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULTS = {
    "busy": "a submission commits in part or not at all, and the answer says that the database is busy",
    "unavailable": "any request fails at once; of a submission a part may commit",
    "lost-before": "a request is lost on its way, and an answer never comes",
    "lost-after": "a request is carried out, and its answer never comes",
    "timeout": "a submission commits whole, in part or not at all, and the answer does not say which",
    "late": "no answer comes, and the submission arrives long after it was given up",
    "cut": "the connection is cut: nothing in flight is answered, and the database is away for a while",
}
"""The names of faults."""

POINTS = {
    "before-submit": "a submission is about to be sent",
    "after-submit": "it has reached the database, which has not answered yet",
    "before-answer": "it is committed, and its answer is not sent yet",
    "before-transact-edn": "transactions written as EDN, such as bookkeeping, are about to be sent",
    "after-transact-edn": "they are committed, and the answer is not sent yet",
    "before-read-log": "a page of the log is about to be read",
    "before-publish": "an object is about to be published",
    "after-publish": "it is published, and the answer is not sent yet",
    "before-read": "an object is about to be read",
}
"""The names of points at which a process may be killed."""


def kill_this_process() -> None:
    """Sends SIGKILL to this process: it cleans up nothing and prints nothing."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong.

    Attributes:
        seed: gives the same choices again, as long as the same requests come in the same order.
        round_trip_s: seconds from a request to its answer, besides the work itself.
        jitter_s: each way takes up to this many seconds longer.
        ordered: whether requests arrive in the order in which they were sent. If not, `Database.ordered` is
            False.
        chances: how likely each fault (see `FAULTS`) is at a request, 0 to 1. Of these a store has
            ``unavailable``, ``lost-before`` and ``lost-after``.
        at: faults that happen for certain, by the number of the submission to a database, or of the read or
            published object of a store, from 1.
        outage_s: how many seconds the database cannot be reached after the connection was cut.
        kill_at: a point (see `POINTS`), and the number of the passage, from 1, at which `kill` is called.
        kill: called there; by default it kills the process.

    Raises:
        UsageError: a fault or a point has no such name, or a number is out of its range.
    """

    seed: int = 0
    round_trip_s: float = 0.0
    jitter_s: float = 0.0
    ordered: bool = True
    chances: Mapping[str, float] = field(default_factory=dict)
    at: Mapping[int, str] = field(default_factory=dict)
    outage_s: float = 0.02
    kill_at: tuple[str, int] | None = None
    kill: Callable[[], None] = kill_this_process

    def __post_init__(self) -> None:
        _refuse_unknown("fault", [*self.chances, *self.at.values()], FAULTS)
        if min(self.at, default=1) < 1:
            raise UsageError(f"Requests are numbered from 1 on, not {min(self.at)}")
        if self.kill_at is not None:
            _refuse_unknown("point", [self.kill_at[0]], POINTS)
            if self.kill_at[1] < 1:
                raise UsageError(f"A point is passed from 1 on, not {self.kill_at[1]}")
        for name, chance in self.chances.items():
            if not 0 <= chance <= 1:
                raise UsageError(f"The chance of {name!r} must be from 0 to 1, not {chance}")
        if min(self.round_trip_s, self.jitter_s, self.outage_s) < 0:
            raise UsageError("round_trip_s, jitter_s and outage_s must not be negative")


def _refuse_unknown(kind: str, names: list[str], known: Mapping[str, str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"There is no {kind} {name!r}", hint=f"There are: {', '.join(known)}")


class Chance:
    """Makes the seeded choices of one wrapper, and counts them.

    Attributes:
        happened: how often each fault has happened so far; as ``reordered``, how often a submission arrived
            after a later one.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._numbered = 0
        self.happened: Counter[str] = Counter()
        self._random = random.Random(faults.seed)  # noqa: S311 - repeatable, and not a secret
        self._passed: Counter[str] = Counter()

    def pick_numbered(self, *names: str) -> str | None:
        """Like `pick`, for a request that is numbered: a fault of `Faults.at` comes first."""
        self._numbered += 1
        name = self.faults.at.get(self._numbered)
        if name in names:
            self.happened[name] += 1
            return name
        return self.pick(*names)

    def pick(self, *names: str) -> str | None:
        """Returns one of these faults if chance makes it happen now, otherwise None."""
        for name in names:
            if self._random.random() < self.faults.chances.get(name, 0.0):
                self.happened[name] += 1
                return name
        return None

    def way_s(self) -> float:
        """Returns how many seconds this request or answer takes on its way."""
        return self.faults.round_trip_s / 2 + self._random.uniform(0, self.faults.jitter_s)

    def below(self, end: int) -> int:
        """Returns an integer from 0, below `end`."""
        return self._random.randrange(end)

    def passes(self, point: str) -> None:
        """Counts a passage of a point, and calls `Faults.kill` if this is the one of `kill_at`."""
        self._passed[point] += 1
        if self.faults.kill_at == (point, self._passed[point]):
            self.faults.kill()
