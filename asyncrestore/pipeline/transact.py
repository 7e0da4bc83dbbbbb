"""The last stage: commits resolved transactions, many of them in flight.

Every transaction carries a compare-and-swap on its predecessor, so it commits only right after it and only
once. When one fails, nothing after it can commit, however many are in flight. Everything in flight is then
awaited, and sent again from the first transaction that is not in the target (`recovery.py`).
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import AsyncRestoreError
from asyncrestore.patience import Patience
from asyncrestore.pipeline.flights import Flights
from asyncrestore.pipeline.reached import Reached
from asyncrestore.pipeline.recovery import Recovery
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream

    from asyncrestore.datomic.base import Database, Submission
    from asyncrestore.history.copies import Marker
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.ids import IdCache
    from asyncrestore.model.log import Transaction
    from asyncrestore.pipeline.flights import Flight
    from asyncrestore.pipeline.window import Window


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
        patience_s: how long the target may be busy or away, or its clock behind, without anything committing.
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
        patience_s: float,
    ) -> None:
        self._target = target
        self._reached = Reached(marker, cache, target.uri)
        self._flights = Flights(window, singly=not target.ordered)
        self._recovery = Recovery(
            target, self._reached, self._flights, Patience(patience_s), blame=blame, on_commit=on_commit
        )
        self._on_commit = on_commit
        self._no_more_batches = False
        self._arrived = anyio.Event()  # a batch, the end of the batches, or an answer
        self._queue_emptied = anyio.Event()

    async def run(self, batches: MemoryObjectReceiveStream[list[TxData]]) -> None:
        """Commits all batches of the stream.

        Raises:
            TransactionRejected: the target refused a transaction; none after it is there.
            DatabaseFailed: the target could not write a transaction; none after it is there.
            Overtaken: another restore is ahead.
            Conflict: somebody else wrote to the target meanwhile.
            Unavailable: the target was busy or did not answer for `patience_s`.
        """
        async with task_group() as tasks:
            tasks.start_soon(self._feed, batches)
            while not (self._no_more_batches and self._flights.idle):
                landed = self._flights.landed()
                if landed is not None:
                    await self._settle(landed)
                    continue
                due_in_s = self._flights.due_in_s(monotonic())
                if due_in_s == 0:
                    await self._send(tasks)
                else:
                    await self._wait(due_in_s)
        await self._recovery.check_nothing_follows()

    async def _feed(self, batches: MemoryObjectReceiveStream[list[TxData]]) -> None:
        """Takes a batch whenever none waits to be sent."""
        async with batches:
            async for batch in batches:
                self._flights.add(batch)
                self._arrived.set()
                while not self._flights.queue_empty:
                    self._queue_emptied = anyio.Event()
                    await self._queue_emptied.wait()
        self._no_more_batches = True
        self._arrived.set()

    async def _wait(self, limit_s: float | None) -> None:
        """Waits until a batch or an answer comes, or the time is up."""
        self._arrived = anyio.Event()
        with anyio.move_on_after(limit_s):
            await self._arrived.wait()

    async def _send(self, tasks: TaskGroup) -> None:
        flight = self._flights.send(monotonic())
        self._let_feed()
        try:
            tasks.start_soon(self._listen, flight, await self._target.submit(flight.batch))
        except AsyncRestoreError as error:
            flight.failed(error, monotonic())  # settled after what was sent before: its error is the cause

    def _let_feed(self) -> None:
        if self._flights.queue_empty:
            self._queue_emptied.set()

    async def _listen(self, flight: Flight, submission: Submission) -> None:
        try:
            flight.answered(await submission.result(), monotonic())
        except AsyncRestoreError as error:
            flight.failed(error, monotonic())
        self._arrived.set()

    async def _settle(self, flight: Flight) -> None:
        """Handles the first submission in flight, which has landed."""
        self._reached.add(flight.committed, flight.batch)
        done = flight.take_committed()
        if done:
            self._recovery.progressed()
        if flight.failure is None:
            self._flights.settle(flight)
            await self._on_commit(done)
            return
        if done:
            await self._on_commit(done)
        while not self._flights.all_landed:
            await self._wait(None)
        await self._recovery.recover()
        self._let_feed()
