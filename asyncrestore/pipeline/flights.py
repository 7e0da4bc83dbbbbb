"""What waits to be sent, and what is in flight. Nothing here waits or reads a clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

from asyncrestore.errors import AsyncRestoreError

if TYPE_CHECKING:
    from asyncrestore.model.commit import BatchResult, Committed, TxData
    from asyncrestore.pipeline.outcomes import Failure
    from asyncrestore.pipeline.window import Window

WEIGHT_IN_FLIGHT = 65_536
"""Most weight in flight, which bounds memory. Two submissions may be in flight whatever their weight."""


@dataclass(slots=True)
class Flight:
    """A submission under way.

    Attributes:
        batch: its transactions that are not known to be in the target.
        weight: of all its transactions.
        predecessors_committed: whether everything before it was in the target when it was sent.
        sent_s: when it was sent, on the monotonic clock.
        landed_s: when its answer came, or the error instead of one; infinity until then.
        committed: the transactions that committed, from the first on without a gap.
        failure: why the next one is not known to have committed; None if all have.
        behind: transactions after that one that are known to have committed all the same.
    """

    batch: list[TxData]
    weight: int
    predecessors_committed: bool
    sent_s: float
    landed_s: float = inf
    committed: list[Committed] = field(default_factory=list)
    failure: Failure | None = None
    behind: list[Committed] = field(default_factory=list)

    def answered(self, result: BatchResult, now_s: float) -> None:
        """Takes in the answer to it."""
        self.landed_s = now_s
        self.committed, self.behind = result.committed, result.behind
        if len(self.committed) < len(self.batch):
            self.failure = result.anomaly or AsyncRestoreError(
                f"The target answered for {len(self.committed)} of {len(self.batch)} transactions, without a "
                "reason"
            )

    def failed(self, error: AsyncRestoreError, now_s: float) -> None:
        """Takes in the error that came instead of an answer."""
        self.landed_s, self.failure = now_s, error

    @property
    def landed(self) -> bool:
        """Whether there is an answer, or an error instead of one."""
        return self.landed_s < inf

    def take_committed(self) -> list[TxData]:
        """Takes the transactions that committed out of the batch; returns them."""
        count = len(self.committed)
        done, self.batch = self.batch[:count], self.batch[count:]
        self.predecessors_committed = self.predecessors_committed or bool(done)
        return done


class Flights:
    """The queue of what waits to be sent, and what is in flight; each in the history's order.

    A transaction is in one of the two from `add` until it is known to be in the target.

    Args:
        window: how much may be in flight, and how close together.
        singly: whether each transaction is sent by itself, for an engine that keeps no order.
    """

    def __init__(self, window: Window, *, singly: bool) -> None:
        self._window = window
        self._singly = singly
        self._queue: deque[list[TxData]] = deque()
        self._in_flight: deque[Flight] = deque()

    @property
    def queue_empty(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._queue

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not self._queue and not self._in_flight

    @property
    def all_landed(self) -> bool:
        """Whether there is an answer, or an error, for each submission."""
        return all(flight.landed for flight in self._in_flight)

    @property
    def next(self) -> TxData:
        """The transaction to be sent next; there must be one."""
        return self._queue[0][0]

    def add(self, batch: list[TxData]) -> None:
        """Takes in a batch to be sent after all others."""
        self._queue.extend([data] for data in batch) if self._singly else self._queue.append(batch)

    def due_in_s(self, now_s: float) -> float | None:
        """Returns in how many seconds the next batch may be sent; None if something must arrive first."""
        if not self._queue:
            return None
        if not self._in_flight:
            return 0.0
        if len(self._in_flight) >= self._window.size:
            return None
        if len(self._in_flight) > 1 and sum(flight.weight for flight in self._in_flight) >= WEIGHT_IN_FLIGHT:
            return None
        return max(0.0, self._in_flight[-1].sent_s + self._window.spacing_s - now_s)

    def send(self, now_s: float) -> Flight:
        """Moves the next batch from the queue into flight."""
        batch = self._queue.popleft()
        flight = Flight(
            batch,
            sum(data.weight for data in batch),
            predecessors_committed=not self._in_flight,
            sent_s=now_s,
        )
        self._in_flight.append(flight)
        return flight

    def landed(self) -> Flight | None:
        """Returns the first submission in flight if it has landed."""
        return self._in_flight[0] if self._in_flight and self._in_flight[0].landed else None

    def settle(self, flight: Flight) -> None:
        """Forgets the first submission in flight, of which all has committed."""
        self._in_flight.popleft()
        self._window.landed(flight.landed_s - flight.sent_s)

    def lost_place(self) -> None:
        """Takes note that a transaction landed before the one that it follows."""
        self._window.lost_place()

    def recall(self) -> list[Flight]:
        """Puts all that was in flight back in front of the queue; returns it, as it was sent."""
        recalled = list(self._in_flight)
        self._in_flight.clear()
        self._queue.extendleft(flight.batch for flight in reversed(recalled))
        return recalled

    def queued(self) -> list[TxData]:
        """Returns the transactions that wait to be sent."""
        return list(chain.from_iterable(self._queue))

    def replace_next(self, changed: TxData) -> None:
        """Puts another form of the transaction to be sent next in its place."""
        self._queue[0] = [changed, *self._queue[0][1:]]

    def drop(self, count: int) -> None:
        """Drops the first `count` transactions of those that wait: they are in the target."""
        while count:
            batch = self._queue.popleft()
            if count < len(batch):
                self._queue.appendleft(batch[count:])
            count -= min(count, len(batch))
