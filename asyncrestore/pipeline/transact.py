"""The last stage: commits resolved transactions, many of them in flight, and finds out their outcomes.

Every transaction carries a compare-and-swap on its predecessor, so it commits only right after it and only
once. When one fails, nothing after it can commit, however many are in flight. Everything in flight is then
awaited, and sent again from the first transaction that is not in the target.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import (
    AsyncRestoreError,
    BridgeDied,
    Conflict,
    TransactionRejected,
    Unavailable,
)
from asyncrestore.history.copies import read_restored
from asyncrestore.model.commit import BatchResult
from asyncrestore.model.log import tx_to_t
from asyncrestore.model.positions import TX, ident
from asyncrestore.patience import PATIENCE_S, Patience
from asyncrestore.pipeline import failures
from asyncrestore.pipeline.dangling import with_entity_made
from asyncrestore.pipeline.outcomes import Outcome, is_unnamed_fault, judge
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream

    from asyncrestore.datomic.base import Database, Submission
    from asyncrestore.history.copies import Marker, Restored
    from asyncrestore.model.commit import Anomaly, Committed, TxData
    from asyncrestore.model.ids import IdCache
    from asyncrestore.model.log import Transaction
    from asyncrestore.pipeline.window import Window

WEIGHT_IN_FLIGHT = 65_536
"""Most weight in flight, which bounds memory. Two submissions may be in flight whatever their weight."""

MAX_UNNAMED_FAULTS = 3
"""After this many faults without a name in a row, the transaction's data is taken for the cause.

Those count that a transaction met when everything before it was in the target.
"""


@dataclass(slots=True)
class _Flight:
    """A submission under way.

    Attributes:
        batch: its transactions that are not known to be in the target.
        weight: of all its transactions.
        predecessors_committed: whether everything before it was in the target when it was sent.
        sent_s: when it was sent, on the monotonic clock.
        landed_s: when its answer came.
        result: the answer, or the error instead of one; None until then.
    """

    batch: list[TxData]
    weight: int
    predecessors_committed: bool
    sent_s: float
    landed_s: float = 0.0
    result: BatchResult | AsyncRestoreError | None = None


class Transactor:
    """Commits resolved transactions.

    Args:
        target: the database to commit to.
        marker: how far the target is.
        window: how much may be in flight.
        cache: receives the target ids of new entities.
        blame: returns, for a refused transaction and the engine's reason, which datom is the cause and what
            helps; empty texts if it finds none.
        on_commit: awaited with transactions that are in the target; others are under way meanwhile.
    """

    def __init__(
        self,
        target: Database,
        marker: Marker,
        *,
        window: Window,
        cache: IdCache,
        blame: Callable[[Transaction, str], tuple[str, str]],
        on_commit: Callable[[list[TxData]], Awaitable[None]],
    ) -> None:
        self._target = target
        self._previous = marker.source_tx
        self._target_t = marker.target_t
        self._window = window
        self._cache = cache
        self._blame = blame
        self._on_commit = on_commit
        self._patience = Patience(PATIENCE_S)
        self._waiting: deque[list[TxData]] = deque()
        self._flights: deque[_Flight] = deque()
        self._ended = False
        self._unsure: set[int] = set()  # source ids of transactions that were sent and may have committed
        self._unnamed_faults = 0
        self._wrote = False
        self._happened = anyio.Event()
        self._taken = anyio.Event()

    async def run(self, batches: MemoryObjectReceiveStream[list[TxData]]) -> None:
        """Commits all batches of the stream.

        Raises:
            TransactionRejected: the target refused a transaction; none after it is there.
            DatabaseFailed: the target could not write a transaction; none after it is there.
            Overtaken: another restore is ahead.
            Conflict: somebody else wrote to the target meanwhile.
            Unavailable: the target was busy or did not answer for `PATIENCE_S`.
        """
        async with task_group() as tasks:
            tasks.start_soon(self._feed, batches)
            while True:
                if self._flights and self._flights[0].result is not None:
                    await self._settle(self._flights[0])
                elif self._waiting and self._room_in_s() == 0:
                    await self._send(tasks)
                elif self._waiting or self._flights or not self._ended:
                    await self._wait(self._room_in_s() if self._waiting else None)
                else:
                    break
        await self._check_nothing_follows()

    async def _feed(self, batches: MemoryObjectReceiveStream[list[TxData]]) -> None:
        """Takes a batch whenever none is waiting; splits it for an engine that keeps no order."""
        async with batches:
            async for batch in batches:
                self._waiting.extend([batch] if self._target.ordered else ([data] for data in batch))
                self._happened.set()
                while self._waiting:
                    self._taken = anyio.Event()
                    await self._taken.wait()
        self._ended = True
        self._happened.set()

    async def _wait(self, limit_s: float | None) -> None:
        """Waits until a batch or an answer comes, or the time is up."""
        self._happened = anyio.Event()
        with anyio.move_on_after(limit_s):
            await self._happened.wait()

    def _room_in_s(self) -> float | None:
        """Returns in how many seconds the next batch may be sent; None if an answer must come first."""
        if not self._flights:
            return 0.0
        if len(self._flights) >= self._window.size:
            return None
        if len(self._flights) > 1 and sum(flight.weight for flight in self._flights) >= WEIGHT_IN_FLIGHT:
            return None
        return max(0.0, self._flights[-1].sent_s + self._window.spacing_s - monotonic())

    async def _send(self, tasks: TaskGroup) -> None:
        batch = self._waiting.popleft()
        self._taken.set()
        flight = _Flight(
            batch,
            sum(data.weight for data in batch),
            predecessors_committed=not self._flights,
            sent_s=monotonic(),
        )
        self._flights.append(flight)
        try:
            tasks.start_soon(self._listen, flight, await self._target.submit(batch))
        except AsyncRestoreError as error:
            flight.result = error  # settled after what was sent before: an error of that is the cause

    async def _listen(self, flight: _Flight, submission: Submission) -> None:
        try:
            flight.result = await submission.result()
        except AsyncRestoreError as error:
            flight.result = error
        flight.landed_s = monotonic()
        self._happened.set()

    async def _settle(self, flight: _Flight) -> None:
        """Handles the result of the first submission in flight."""
        assert flight.result is not None
        done: list[TxData] = []
        if isinstance(flight.result, BatchResult):
            for committed, transaction in zip(flight.result.committed, flight.batch, strict=False):
                self._note(committed, transaction)
            done = flight.batch[: len(flight.result.committed)]
        if done:
            self._progressed()
        if len(done) == len(flight.batch):
            self._flights.popleft()
            self._window.landed(flight.landed_s - flight.sent_s)
            await self._on_commit(done)
            return
        if done:
            flight.batch = flight.batch[len(done) :]
            flight.predecessors_committed = True
            await self._on_commit(done)
        await self._recover(flight)

    def _note(self, committed: Committed, transaction: TxData) -> None:
        if committed.before != self._target_t:
            raise Conflict(
                f"Somebody else wrote to {self._target.uri} during the restore: t {self._target_t + 1} to "
                f"{committed.before}, before source t {tx_to_t(transaction.tx)}",
                hint="The target's history is no longer the source's. Restore into a new database.",
            )
        self._target_t = tx_to_t(committed.tx)
        self._previous = transaction.tx
        self._cache.put(transaction.tx, committed.tx)
        ids = committed.ids
        for i in range(0, len(ids), 2):
            self._cache.put(ids[i], ids[i + 1])

    def _progressed(self) -> None:
        self._patience.succeeded()
        self._unnamed_faults = 0
        self._wrote = True

    async def _recover(self, failed: _Flight) -> None:
        """Awaits all that is in flight after a failure, and puts it back in front of what waits."""
        while any(flight.result is None for flight in self._flights):
            await self._wait(None)
        ours: set[int] = set()
        for flight in reversed(self._flights):
            self._waiting.appendleft(flight.batch)
            if isinstance(flight.result, BatchResult):
                done = flight.result.behind + ([] if flight is failed else flight.result.committed)
                ours.update(committed.tx for committed in done)
            if self._judged(flight) in {Outcome.BUSY, Outcome.UNKNOWN}:
                # An engine that overlaps commits may have begun all of the batch.
                self._unsure.update(data.tx for data in flight.batch)
        self._flights.clear()
        outcome = await self._prepare_again(failed)
        # What follows a transaction that did not commit can have committed only if another restore committed
        # that one.
        if ours or outcome in {Outcome.OVERTAKEN, Outcome.BUSY, Outcome.UNKNOWN}:
            await self._reconcile(ours, outcome)
        if self._unnamed_faults == MAX_UNNAMED_FAULTS:
            assert isinstance(failed.result, BatchResult)
            assert failed.result.anomaly is not None
            raise self._rejected(self._waiting[0][0], failed.result.anomaly)

    def _judged(self, flight: _Flight) -> Outcome | None:
        """Returns the outcome of a submission's first transaction that did not commit; None if all did."""
        if isinstance(flight.result, Unavailable):
            return Outcome.UNKNOWN
        anomaly = flight.result.anomaly if isinstance(flight.result, BatchResult) else None
        return judge(anomaly, self._previous) if anomaly else None

    async def _prepare_again(self, failed: _Flight) -> Outcome:
        """Judges a failure, and prepares the first transaction waiting to be sent again.

        Raises:
            AsyncRestoreError: it is not to be sent again.
        """
        transaction, result = self._waiting[0][0], failed.result
        if isinstance(result, Unavailable):
            await self._patience.wait(result)
            return Outcome.UNKNOWN
        if isinstance(result, AsyncRestoreError):
            raise result
        assert result is not None
        assert result.anomaly is not None
        outcome = judge(result.anomaly, self._previous)
        if outcome in {Outcome.DANGLING, Outcome.REJECTED} and not (
            failed.predecessors_committed or self._target.ordered
        ):
            # Its predecessor may not have been there yet. What it lacks may be anything made just before.
            outcome = Outcome.TOO_EARLY
        if outcome is Outcome.TOO_EARLY and not failed.predecessors_committed:
            self._window.lost_place()
        elif outcome is Outcome.DANGLING and (
            made := with_entity_made(transaction, result.anomaly.entity or 0)
        ):
            self._waiting[0] = [made, *self._waiting[0][1:]]
        elif outcome is Outcome.FUTURE:
            error = failures.ahead_of_clock(self._target, transaction, result.anomaly)
            if _instant(transaction) > (time() + PATIENCE_S) * 1000:
                raise error  # waiting for `PATIENCE_S` would not help
            await self._patience.wait(error)
        elif outcome in {Outcome.BUSY, Outcome.UNKNOWN}:
            await self._patience.wait(failures.not_taken(self._target, transaction, result.anomaly, outcome))
            self._unnamed_faults += is_unnamed_fault(result.anomaly) and failed.predecessors_committed
        elif outcome is not Outcome.OVERTAKEN:
            return await self._refused(transaction, result.anomaly, outcome)
        return outcome

    async def _reconcile(self, ours: set[int], outcome: Outcome) -> None:
        """Reads what the target has by now and continues after it, unless another restore is ahead.

        Of several restores that overtake each other, the one goes on whose transaction is the newest once
        nothing of its own is in flight. So they cannot all stop.

        Args:
            ours: target ids of transactions that this run is known to have committed meanwhile.
            outcome: the outcome that makes this necessary.
        """
        waiting = [data for batch in self._waiting for data in batch]
        found = await self._read_restored(len(waiting))
        for restored, data in zip(found, waiting, strict=False):
            if restored.source_tx != data.tx:
                raise failures.overtaken(self._target, restored)
            self._target_t, self._previous = tx_to_t(restored.tx), data.tx
            for entity, original in restored.original_ids.items():
                self._cache.put(original, entity)
        if found:
            done = waiting[: len(found)]
            self._drop(len(done))
            self._progressed()
            await self._on_commit(done)
        newest = found[-1] if found else None
        mine = newest is not None and (newest.tx in ours or newest.source_tx in self._unsure)
        if (newest is not None or outcome is Outcome.OVERTAKEN) and not mine:
            raise failures.overtaken(self._target, newest)
        self._unsure = {tx for tx in self._unsure if tx > self._previous}

    async def _read_restored(self, expected: int) -> list[Restored]:
        """Returns what the target has after the last known transaction, at most one more than expected."""
        while True:
            try:
                return await read_restored(self._target, self._target_t, limit=expected + 1)
            except BridgeDied:
                raise
            except Unavailable as reason:
                await self._patience.wait(reason)

    async def _check_nothing_follows(self) -> None:
        """Checks at the end that nobody wrote after our last transaction, which no answer shows.

        Raises:
            Conflict: somebody did.
        """
        if self._wrote:
            await self._read_restored(0)

    async def _refused(self, transaction: TxData, anomaly: Anomaly, outcome: Outcome) -> Outcome:
        """Looks into a refusal: the target may have more than is known, and refuse what is older.

        Raises:
            DatabaseFailed: it was no refusal of the data.
            Conflict: it has more, which somebody else wrote.
            TransactionRejected: it has nothing more.
        """
        if outcome is Outcome.FAILED:
            raise failures.not_written(self._target, transaction, anomaly)
        try:
            found = await read_restored(self._target, self._target_t, limit=1)
        except Unavailable:
            found = []
        if not found:
            raise self._rejected(transaction, anomaly)
        return Outcome.OVERTAKEN

    def _drop(self, count: int) -> None:
        """Drops the first `count` transactions of those that wait."""
        while count:
            batch = self._waiting.popleft()
            if count < len(batch):
                self._waiting.appendleft(batch[count:])
            count -= min(count, len(batch))
        self._taken.set()

    def _rejected(self, transaction: TxData, anomaly: Anomaly) -> TransactionRejected:
        source = transaction.source
        cause, help_ = self._blame(source, anomaly.message) if source else ("", "")
        return failures.rejected(self._target, transaction, anomaly, cause=cause, help_=help_)


def _instant(transaction: TxData) -> int:
    """Returns the transaction's own instant, in milliseconds since 1970."""
    adds = transaction.adds
    at = (i for i in range(0, len(adds), 4) if adds[i] == TX and adds[i + 1] == ident("db/txInstant"))
    return next((int(adds[i + 3]) for i in at), 0)
