"""Joins the three stages by bounded streams, so that a history flows through them into a target."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import AsyncRestoreError, DamageError, RewriteFailed, UsageError
from asyncrestore.history.prefetch import prefetch
from asyncrestore.model.log import tx_to_t
from asyncrestore.pipeline.blame import blame
from asyncrestore.pipeline.transact import Transactor
from asyncrestore.pipeline.window import UNORDERED_LIMIT, AdaptiveWindow, FixedWindow
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from asyncrestore.datomic.base import Database
    from asyncrestore.excision.excised import Excisions
    from asyncrestore.filters.filter import Filter
    from asyncrestore.history.base import History
    from asyncrestore.history.budget import ByteBudget
    from asyncrestore.history.copies import Marker
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.ids import IdCache
    from asyncrestore.model.log import LogChunk, Transaction
    from asyncrestore.pipeline.code_guard import CodeGuard
    from asyncrestore.pipeline.resolve import Resolver
    from asyncrestore.pipeline.window import Window
    from asyncrestore.progress import Progress

logger = logging.getLogger(__name__)

BATCH_TRANSACTIONS = 64
BATCH_WEIGHT = 4096
"""Greatest weight of the datoms of a batch (see `model.weight`); a single transaction may weigh more."""


@dataclass(kw_only=True)
class Stages:
    """The way of one restore from a history into a target.

    Attributes:
        history: the history to restore.
        marker: the transaction to continue after.
        segments: restores at most this many parts of the history; all if None.
        excisions: what the source's requests for excision cover, which is left out.
        filter_: what is left out and rewritten, if anything is.
        resolver: as of after the marker.
        guard: looks at what is resolved before it is sent.
        target: the database to restore into.
        cache: receives the target's ids.
        budget: bounds the bytes of loaded parts.
        in_flight: how many transactions may be sent and not answered yet.
        patience_s: how long the target may be busy or away, or its clock behind, without anything committing.
        progress: moved on with what was fetched and resolved.
        on_commit: awaited with transactions that are in the target.
        stop: once set, what is in flight is finished and nothing more is begun.
        parts_left: how many parts were not restored, or not whole; known at the end.
    """

    history: History
    marker: Marker
    segments: int | None
    excisions: Excisions
    filter_: Filter | None
    resolver: Resolver
    guard: CodeGuard
    target: Database
    cache: IdCache
    budget: ByteBudget
    in_flight: int
    patience_s: float
    progress: Progress
    on_commit: Callable[[list[TxData]], Awaitable[None]]
    stop: anyio.Event
    parts_left: int = 0
    _failure: AsyncRestoreError | None = field(default=None, init=False)

    async def run(self) -> None:
        """Runs to the end of the history, or until `stop` is set.

        Raises:
            AsyncRestoreError: what went wrong in a stage; everything before it is in the target.
        """
        # Chunks and batches are large: a hop through a stream costs some 25 us, whatever it carries.
        chunks_send, chunks_receive = anyio.create_memory_object_stream["LogChunk"](1)
        batches_send, batches_receive = anyio.create_memory_object_stream["list[TxData]"](0)
        # Several batches in flight: one commits while the next is on its way.
        size = max(1, min(BATCH_TRANSACTIONS, self.in_flight // 4))
        window: Window = FixedWindow(self.in_flight // size)
        if not self.target.ordered:
            window = AdaptiveWindow(min(self.in_flight, UNORDERED_LIMIT))
        transactor = Transactor(
            self.target,
            self.marker,
            window=window,
            cache=self.cache,
            blame=partial(blame, self.resolver.schema),
            on_commit=self.on_commit,
            patience_s=self.patience_s,
        )
        async with task_group() as tasks:
            tasks.start_soon(self._fetch, chunks_send)
            tasks.start_soon(self._resolve, size, chunks_receive, batches_send)
            await transactor.run(batches_receive)
        if self._failure is not None:
            raise self._failure

    async def _fetch(self, output: MemoryObjectSendStream[LogChunk]) -> None:
        """The first stage; keeps its error, so that what was read before it still reaches the target."""
        try:
            self.parts_left = await prefetch(
                self.history,
                self.marker.source_tx,
                budget=self.budget,
                output=output,
                stop=self.stop,
                limit=self.segments,
            )
        except AsyncRestoreError as failure:
            # An error of the next stage concerns an earlier transaction, whichever was raised first.
            self._failure = self._failure or failure

    async def _resolve(
        self,
        size: int,
        chunks: MemoryObjectReceiveStream[LogChunk],
        output: MemoryObjectSendStream[list[TxData]],
    ) -> None:
        """The middle stage: filters, resolves and cuts into batches; keeps its error like the first stage."""
        try:
            async with chunks, output:
                async for chunk in chunks:
                    self.progress.fetched_t = tx_to_t(chunk.tx[-1]) + 1
                    if not await self._resolve_chunk(chunk, size, output):
                        return
        except anyio.BrokenResourceError:
            logger.debug("the transactor has ended, and raises the reason itself")

    async def _resolve_chunk(
        self, chunk: LogChunk, size: int, output: MemoryObjectSendStream[list[TxData]]
    ) -> bool:
        """Sends a chunk's transactions in batches of at most `size`; returns whether to go on."""
        batch: list[TxData] = []
        weight = 0
        for transaction in chunk.transactions():
            if self.stop.is_set():
                return False
            try:
                data = resolved(self.resolver, self.excisions, self.filter_, transaction)
                self.guard.check(data)
            except (RewriteFailed, DamageError, UsageError) as failure:
                self._failure = failure
                if batch:
                    await self._send(batch, output)
                return False
            batch.append(data)
            weight += data.weight
            if len(batch) >= size or weight >= BATCH_WEIGHT:
                await self._send(batch, output)
                batch, weight = [], 0
        if batch:
            await self._send(batch, output)
        return True

    async def _send(self, batch: list[TxData], output: MemoryObjectSendStream[list[TxData]]) -> None:
        self.progress.resolved_t = tx_to_t(batch[-1].tx) + 1
        await output.send(batch)


def resolved(
    resolver: Resolver, excisions: Excisions, filter_: Filter | None, transaction: Transaction
) -> TxData:
    """Returns a transaction without what was excised, filtered and resolved; raises what these raise."""
    wanted = excisions.apply(transaction, resolver.schema)
    if filter_ is not None:
        wanted = filter_.apply(wanted)
    if len(wanted) == len(transaction):
        return resolver.resolve(wanted)
    return resolver.resolve(wanted, set(transaction.e) - set(wanted.e))
