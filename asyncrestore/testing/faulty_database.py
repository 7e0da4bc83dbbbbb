"""A real database behind a network with faults."""

from __future__ import annotations

import heapq
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import anyio
from typing_extensions import override

from asyncrestore.datomic.base import Submission
from asyncrestore.datomic.wrapper import DatabaseWrapper
from asyncrestore.errors import AsyncRestoreError, OutcomeUnknown, Unavailable
from asyncrestore.model.commit import Anomaly, BatchResult
from asyncrestore.tasks import task_group
from asyncrestore.testing.faults import Chance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from anyio.abc import TaskGroup

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.log import LogChunk
    from asyncrestore.testing.faults import Faults

_T = TypeVar("_T")

LATE_S = 0.05
"""By how many seconds at most a late submission is late."""


@dataclass(slots=True)
class FaultySubmission(Submission):
    """A submission on its way through the network."""

    batch: Sequence[TxData]
    fault: str | None
    number: int = 0
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: BatchResult | AsyncRestoreError | None = None

    def ends(self, outcome: BatchResult | AsyncRestoreError) -> None:
        """Sets the outcome, unless it was set before."""
        if self.outcome is None:
            self.outcome = outcome
            self.done.set()

    @override
    async def result(self) -> BatchResult:
        await self.done.wait()
        if isinstance(self.outcome, BatchResult):
            return self.outcome
        assert self.outcome is not None
        raise self.outcome


class FaultyDatabase(DatabaseWrapper):
    """A `Database` behind a network with faults; see `faulty_database`.

    Attributes:
        happened: how often each fault has happened so far; as ``reordered``, how often a submission arrived
            after a later one.
    """

    def __init__(self, database: Database, faults: Faults, tasks: TaskGroup) -> None:
        super().__init__(database)
        self._faults = faults
        self._tasks = tasks
        self._chance = Chance(faults)
        self._on_the_way: list[tuple[float, int, FaultySubmission]] = []
        self._sent = 0
        self._latest_arrived = 0
        self._last_due_s = 0.0
        self._news = anyio.Event()
        self._unanswered: list[FaultySubmission] = []
        self._back_s = 0.0
        self.ordered = faults.ordered and database.ordered
        self.happened = self._chance.happened

    @override
    async def submit(self, batch: Sequence[TxData]) -> FaultySubmission:
        self._chance.passes("before-submit")
        self._check_there()
        fault = self._chance.pick_numbered(
            "cut", "busy", "unavailable", "lost-before", "lost-after", "late", "timeout"
        )
        submission = FaultySubmission(batch, fault)
        self._unanswered.append(submission)
        if fault == "cut":
            self._cut()
        elif fault == "lost-before":
            self._tasks.start_soon(self._lose, submission)
        else:
            if fault in {"busy", "unavailable", "timeout"}:
                submission.batch = batch[: self._chance.below(len(batch) + 1)]
            self._post(submission)
        return submission

    def _post(self, submission: FaultySubmission) -> None:
        due_s = monotonic() + self._chance.way_s()
        if submission.fault == "late":
            self._tasks.start_soon(self._lose, submission)
            due_s += LATE_S * self._chance.below(100) / 100
        elif self._faults.ordered:
            due_s = self._last_due_s = max(due_s, self._last_due_s)
        self._sent = submission.number = self._sent + 1
        heapq.heappush(self._on_the_way, (due_s, self._sent, submission))
        self._news.set()

    async def deliver(self) -> None:
        """Passes submissions on when they are due, one after the other."""
        while True:
            wait_s = self._on_the_way[0][0] - monotonic() if self._on_the_way else None
            if wait_s is None or wait_s > 0:
                self._news = anyio.Event()
                with anyio.move_on_after(wait_s):
                    await self._news.wait()
                continue
            _, _, submission = heapq.heappop(self._on_the_way)
            if submission.number < self._latest_arrived:
                self.happened["reordered"] += 1
            self._latest_arrived = max(self._latest_arrived, submission.number)
            sent = await self.inner.submit(submission.batch) if submission.batch else None
            self._chance.passes("after-submit")
            self._tasks.start_soon(self._answer, submission, sent.result if sent else None)

    async def _answer(
        self, submission: FaultySubmission, result: Callable[[], Awaitable[BatchResult]] | None
    ) -> None:
        outcome: BatchResult | AsyncRestoreError
        try:
            outcome = await result() if result else BatchResult([])
        except AsyncRestoreError as exc:
            outcome = exc
        self._chance.passes("before-answer")
        await anyio.sleep(self._chance.way_s())
        if isinstance(outcome, BatchResult) and outcome.anomaly is None:
            if submission.fault in {"busy", "unavailable"}:
                outcome.anomaly = Anomaly(submission.fault, "an injected fault")
            elif submission.fault == "timeout":
                outcome = BatchResult([], Anomaly("unavailable", "an injected fault", "transaction-timeout"))
            elif submission.fault == "lost-after":
                outcome = self._unknown()
        self._end(submission, outcome)

    async def _lose(self, submission: FaultySubmission) -> None:
        await anyio.sleep(self._faults.round_trip_s)
        self._end(submission, self._unknown())

    def _end(self, submission: FaultySubmission, outcome: BatchResult | AsyncRestoreError) -> None:
        submission.ends(outcome)
        if submission in self._unanswered:
            self._unanswered.remove(submission)

    def _cut(self) -> None:
        """Cuts the connection: submissions on their way never arrive, those that arrived are carried out."""
        self._on_the_way.clear()
        for submission in self._unanswered:
            submission.ends(self._unknown())
        self._unanswered.clear()
        self._back_s = monotonic() + self._faults.outage_s

    def _unknown(self) -> OutcomeUnknown:
        return OutcomeUnknown(f"{self.uri}: an answer was lost (an injected fault)")

    def _check_there(self) -> None:
        if monotonic() < self._back_s:
            raise Unavailable(f"{self.uri}: the connection is cut (an injected fault)")

    async def _ask(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """Sends a request that changes nothing; takes the time of both ways."""
        await anyio.sleep(self._chance.way_s())
        self._check_there()
        if self._chance.pick("unavailable"):
            raise Unavailable(f"{self.uri}: not there (an injected fault)")
        found = await read()
        await anyio.sleep(self._chance.way_s())
        return found

    @override
    async def basis_t(self) -> int:
        return await self._ask(self.inner.basis_t)

    @override
    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        self._chance.passes("before-read-log")
        return await self._ask(lambda: self.inner.read_log(start, end, size=size))

    @override
    async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
        return await self._ask(lambda: self.inner.transaction_ts(start, end))

    @override
    async def schema_history(self) -> LogChunk:
        return await self._ask(self.inner.schema_history)

    @override
    async def entities_with(self, attribute: str, values: Sequence[int]) -> list[list[int]]:
        return await self._ask(lambda: self.inner.entities_with(attribute, values))

    @override
    async def values_of(self, attribute: str, entities: Sequence[int]) -> list[int | None]:
        return await self._ask(lambda: self.inner.values_of(attribute, entities))

    @override
    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        self._chance.passes("before-transact-edn")
        await anyio.sleep(self._chance.way_s())
        self._check_there()
        fault = self._chance.pick("unavailable", "lost-before", "lost-after")
        if fault in {"unavailable", "lost-before"}:
            raise Unavailable(f"{self.uri}: not there (an injected fault)")
        done = await self.inner.transact_edn(transactions)
        self._chance.passes("after-transact-edn")
        if fault == "lost-after":
            raise self._unknown()
        await anyio.sleep(self._chance.way_s())
        return done


@asynccontextmanager
async def faulty_database(database: Database, faults: Faults) -> AsyncIterator[FaultyDatabase]:
    """Puts a network with faults in front of a real database, for as long as the context lasts.

    Until the context ends, what was sent arrives even if nobody waits for its answer, as after a crash.

    Args:
        database: an open one.
        faults: what goes wrong.
    """
    async with task_group() as tasks:
        faulty = FaultyDatabase(database, faults, tasks)
        tasks.start_soon(faulty.deliver)
        yield faulty
        tasks.cancel_scope.cancel()
