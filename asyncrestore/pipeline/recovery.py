"""What a restore does when a transaction is not known to have committed: wait, read the target, or stop."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from asyncrestore.errors import AsyncRestoreError, TransactionRejected, Unavailable
from asyncrestore.history.copies import read_restored
from asyncrestore.model.commit import Anomaly, operations
from asyncrestore.model.positions import TX, ident
from asyncrestore.pipeline import failures
from asyncrestore.pipeline.dangling import with_entity_made
from asyncrestore.pipeline.outcomes import MAY_HAVE_COMMITTED, Outcome, is_unnamed_fault, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.base import Database
    from asyncrestore.history.copies import Restored
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.log import Transaction
    from asyncrestore.patience import Patience
    from asyncrestore.pipeline.flights import Flight, Flights
    from asyncrestore.pipeline.reached import Reached

MAX_UNNAMED_FAULTS = 3
"""After this many faults without a name in a row, the transaction's data is taken for the cause.

Those count that a transaction met when everything before it was in the target.
"""


class Recovery:
    """Decides how to go on after a failure, once all that was in flight has landed.

    Args:
        target: the database that is restored into.
        reached: how far it is known to be; moved on by what is read from it.
        flights: what was sent, and is to be sent again.
        patience: how long the target may be busy or away.
        blame: returns, for a refused transaction and the engine's reason, which datom is the cause and what
            helps; empty texts if it finds none.
        on_commit: awaited with transactions that are in the target.
    """

    def __init__(
        self,
        target: Database,
        reached: Reached,
        flights: Flights,
        patience: Patience,
        *,
        blame: Callable[[Transaction, str], tuple[str, str]],
        on_commit: Callable[[list[TxData]], Awaitable[None]],
    ) -> None:
        self._target = target
        self._reached = reached
        self._flights = flights
        self._patience = patience
        self._blame = blame
        self._on_commit = on_commit
        # Source ids of transactions that were sent and may have committed.
        self._may_be_ours: set[int] = set()
        # Those without a name, in a row, at the transaction to be sent next.
        self._faults: list[Anomaly] = []

    def progressed(self) -> None:
        """Takes note that transactions have committed: patience and the count of faults start over."""
        self._patience.succeeded()
        self._faults.clear()

    async def recover(self) -> None:
        """Puts all that has landed back into the queue, without what turns out to be in the target.

        Raises:
            AsyncRestoreError: it is not to be sent again, for one of the reasons of `Transactor.run`.
        """
        recalled = self._flights.recall()
        failed = recalled[0]
        outcomes = [self._judge(flight) for flight in recalled]
        for flight, outcome in zip(recalled, outcomes, strict=True):
            if outcome in MAY_HAVE_COMMITTED:
                self._may_be_ours.update(data.tx for data in flight.batch)
        known = [committed for flight in recalled for committed in flight.behind]
        known += (committed for flight in recalled[1:] for committed in flight.committed)
        outcome = await self._prepare_again(failed, outcomes[0])
        # What follows a transaction that did not commit can have committed only if another restore committed
        # that one.
        if known or outcome is Outcome.OVERTAKEN or outcome in MAY_HAVE_COMMITTED:
            await self._reconcile({committed.tx for committed in known}, outcome)
        if len(self._faults) == MAX_UNNAMED_FAULTS:
            raise self._rejected(self._flights.next, self._faults[-1])

    async def check_nothing_follows(self) -> None:
        """Checks at the end that nobody wrote after our last transaction, which no answer shows.

        Raises:
            Conflict: somebody did.
            Unavailable: the target did not answer while patience lasted.
        """
        if self._reached.moved:
            await self._read_restored(0)

    def _judge(self, flight: Flight) -> Outcome:
        return judge(
            flight.failure,
            previous=self._reached.source_tx,
            predecessors_committed=flight.predecessors_committed,
            ordered=self._target.ordered,
        )

    async def _prepare_again(self, failed: Flight, outcome: Outcome) -> Outcome:
        """Prepares the next transaction to be sent again; returns the outcome, as far as it is known now."""
        match failed.failure:
            case Anomaly() as anomaly:
                outcome = await self._act_on(anomaly, outcome)
                if outcome is Outcome.UNKNOWN and is_unnamed_fault(anomaly) and failed.predecessors_committed:
                    self._faults.append(anomaly)
            case Unavailable() as error:
                await self._patience.wait(error)
            case AsyncRestoreError() as error:
                raise error
        return outcome

    async def _act_on(self, anomaly: Anomaly, outcome: Outcome) -> Outcome:
        """Does what the outcome of the next transaction requires before it can be sent again."""
        transaction = self._flights.next
        match outcome:
            case Outcome.TOO_EARLY:
                self._flights.lost_place()
            case Outcome.DANGLING:
                made = with_entity_made(transaction, anomaly.entity or 0)
                if made is None:
                    return await self._look_into_refusal(transaction, anomaly)
                self._flights.replace_next(made)
            case Outcome.FUTURE:
                error = failures.ahead_of_clock(self._target, transaction, anomaly)
                if _instant(transaction) > (time() + self._patience.limit_s) * 1000:
                    raise error  # waiting as long as patience lasts would not help
                await self._patience.wait(error)
            case Outcome.BUSY | Outcome.UNKNOWN:
                await self._patience.wait(failures.not_taken(self._target, transaction, anomaly, outcome))
            case Outcome.FAILED:
                raise failures.not_written(self._target, transaction, anomaly)
            case Outcome.REJECTED:
                return await self._look_into_refusal(transaction, anomaly)
        return outcome

    async def _look_into_refusal(self, transaction: TxData, anomaly: Anomaly) -> Outcome:
        """Looks into a refusal: the target may have more than is known, and refuse what is older.

        Raises:
            Conflict: it has more, which somebody else wrote.
            TransactionRejected: it has nothing more.
        """
        try:
            found = await read_restored(self._target, self._reached.target_t, limit=1)
        except Unavailable:
            found = []
        if not found:
            raise self._rejected(transaction, anomaly)
        return Outcome.OVERTAKEN

    async def _reconcile(self, ours: set[int], outcome: Outcome) -> None:
        """Reads what the target has by now and continues after it, unless another restore is ahead.

        Of several restores that overtake each other, the one goes on whose transaction is the newest once
        nothing of its own is in flight. So they cannot all stop.

        Args:
            ours: target ids of transactions that this run is known to have committed meanwhile.
            outcome: the outcome that makes this necessary.
        """
        queued = self._flights.queued()
        found = await self._read_restored(len(queued))
        for restored, data in zip(found, queued, strict=False):
            if restored.source_tx != data.tx:
                raise failures.overtaken(self._target, restored)
            self._reached.add_found(restored)
        if found:
            done = queued[: len(found)]
            self._flights.drop(len(done))
            self.progressed()
            await self._on_commit(done)
        newest = found[-1] if found else None
        mine = newest is not None and (newest.tx in ours or newest.source_tx in self._may_be_ours)
        if (newest is not None or outcome is Outcome.OVERTAKEN) and not mine:
            raise failures.overtaken(self._target, newest)
        self._may_be_ours = {tx for tx in self._may_be_ours if tx > self._reached.source_tx}

    async def _read_restored(self, expected: int) -> list[Restored]:
        """Returns what the target has after the last known transaction, at most one more than expected."""
        return await self._patience.persist(
            lambda: read_restored(self._target, self._reached.target_t, limit=expected + 1)
        )

    def _rejected(self, transaction: TxData, anomaly: Anomaly) -> TransactionRejected:
        source = transaction.source
        cause, help_ = self._blame(source, anomaly.message) if source else ("", "")
        return failures.rejected(self._target, transaction, anomaly, cause=cause, help_=help_)


def _instant(transaction: TxData) -> int:
    """Returns the transaction's own instant, in milliseconds since 1970."""
    own = (TX, ident("db/txInstant"))
    return next((int(raw) for e, a, _, raw in operations(transaction.adds) if (e, a) == own), 0)
