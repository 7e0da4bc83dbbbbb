"""The last stage: commits batches in order, several in flight, and learns what became of each.

Every transaction carries a compare-and-swap on its predecessor, so it commits only right after it and only
once: when one fails, nothing after it can commit, however many are in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio

from asyncrestore.errors import AsyncRestoreError, Conflict, Overtaken, TransactionRejected
from asyncrestore.ids import ENTITY_COUNTER, counter_of
from asyncrestore.model import tx_to_t
from asyncrestore.positions import TX, ident, lookup, tempid
from asyncrestore.schema import ORIGINAL_ID, PLACEHOLDER
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from asyncrestore.datomic.base import Database, Submission
    from asyncrestore.ids import IdCache
    from asyncrestore.model import Anomaly, Committed, Transaction, TxData
    from asyncrestore.target import Marker

BATCHES_IN_FLIGHT = 3


@dataclass(slots=True)
class _InFlight:
    batch: list[TxData]
    submission: Submission


class Transactor:
    """Commits batches of resolved transactions.

    Args:
        target: where to.
        marker: how far it is.
        cache: learns the target ids of new entities.
        blame: says, given the engine's reason, which datom of a refused transaction is the cause and what
            helps, if it can tell.
        on_commit: awaited with each batch that is in the target; batches after it are under way meanwhile.
    """

    def __init__(
        self,
        target: Database,
        marker: Marker,
        cache: IdCache,
        blame: Callable[[Transaction, str], tuple[str, str]],
        on_commit: Callable[[list[TxData]], Awaitable[None]],
    ) -> None:
        self._target = target
        self._previous = marker.source_tx
        self._target_t = marker.target_t
        self._cache = cache
        self._blame = blame
        self._on_commit = on_commit
        self._failure: AsyncRestoreError | None = None

    async def run(self, batches: MemoryObjectReceiveStream[list[TxData]]) -> None:
        """Commits all batches of the stream.

        Raises:
            TransactionRejected: the target refused a transaction; none after it is there.
            Overtaken: another restorer committed one of ours.
            Conflict: somebody else wrote into the target meanwhile.
            OutcomeUnknown: an answer never came.
        """
        send, receive = anyio.create_memory_object_stream[_InFlight](BATCHES_IN_FLIGHT - 2)
        async with task_group() as tasks:
            tasks.start_soon(self._submit, batches, send)
            async with receive:
                async for in_flight in receive:
                    await self._settle(in_flight)
                    await self._on_commit(in_flight.batch)
        if self._failure is not None:
            raise self._failure

    async def _submit(
        self, batches: MemoryObjectReceiveStream[list[TxData]], output: MemoryObjectSendStream[_InFlight]
    ) -> None:
        try:
            async with batches, output:
                async for batch in batches:
                    await output.send(_InFlight(batch, await self._target.submit(batch)))
        except anyio.BrokenResourceError:
            pass  # the collecting side has ended, and says why itself
        except AsyncRestoreError as failure:
            self._failure = failure  # what is in flight is settled first: its error, if any, is the cause

    async def _settle(self, in_flight: _InFlight) -> None:
        """Waits until the whole batch is committed; batches after it wait behind this one."""
        batch, submission = in_flight.batch, in_flight.submission
        failed: tuple[int, Anomaly] | None = None
        behind = True  # sent while the batch before it was under way
        while True:
            result = await submission.result()
            for committed, transaction in zip(result.committed, batch, strict=False):
                self._note(committed, transaction)
            batch = batch[len(result.committed) :]
            if result.anomaly is None:
                return
            if result.committed or not behind:
                if (batch[0].tx, result.anomaly) == failed:
                    raise self._rejected(batch[0], result.anomaly)  # sending it again changed nothing
                failed = (batch[0].tx, result.anomaly)
                batch = [self._mend(batch[0], result.anomaly), *batch[1:]]
            # Else its predecessor may not have been there yet. Then the anomaly says nothing of it: what it
            # lacks may be anything made just before, such as an attribute.
            behind = False
            submission = await self._target.submit(batch)

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

    def _mend(self, transaction: TxData, anomaly: Anomaly) -> TxData:
        """What to send again after an anomaly that is no refusal; its predecessor was committed."""
        if anomaly.error == "not-an-entity" and anomaly.entity is not None:
            if anomaly.entity == self._previous:
                return transaction  # it was sent before its predecessor had committed
            made = _made_here(transaction, anomaly.entity)
            if made is not None:
                return made
        if anomaly.error == "cas-failed" and anomaly.entity == self._previous:
            raise Overtaken(
                f"Another restore writes to {self._target.uri}: "
                f"it committed t {tx_to_t(anomaly.present or 0)} first",
                hint="Let the other one finish, or run this again when it has ended.",
            )
        raise self._rejected(transaction, anomaly)

    def _rejected(self, transaction: TxData, anomaly: Anomaly) -> TransactionRejected:
        t = tx_to_t(transaction.tx)
        source = transaction.source
        cause, help_ = self._blame(source, anomaly.message) if source else ("", "")
        return TransactionRejected(
            f"{self._target.uri} refused source t {t}: {anomaly.message}" + (f". {cause}" if cause else ""),
            t=t,
            hint=f"Everything before t {t} is restored, nothing after it. {help_}".strip(),
        )


def _made_here(transaction: TxData, entity: int) -> TxData | None:
    """The transaction with an entity that never had datoms, so that the target does not know it, made by it.

    A tempid with the original id finds the entity if it is there after all: the attribute is a unique
    identity. None if the transaction does not refer to that entity.
    """
    old, new = lookup(entity), tempid(entity)
    adds, retracts = _renamed(transaction.adds, old, new), _renamed(transaction.retracts, old, new)
    if (adds, retracts) == (transaction.adds, transaction.retracts):
        return None
    adds += (new, ident(ORIGINAL_ID), "l", entity)
    if transaction.source is not None and any(
        kind == "r" and raw == entity and counter_of(e) != ENTITY_COUNTER
        for e, _, kind, raw, _ in transaction.source.datoms
    ):
        # An owner of its own, the last, keeps it out of the partitions of attributes and transactions.
        adds += (TX, ident(PLACEHOLDER), "r", new)
    return replace(transaction, adds=adds, retracts=retracts)


def _renamed(flat: list[Any], old: int, new: int) -> list[Any]:
    """Operations with one position for another, in entity, attribute and reference places only."""
    renamed: list[Any] = []
    for i in range(0, len(flat), 4):
        e, a, kind, raw = flat[i : i + 4]
        renamed += (new if e == old else e, new if a == old else a, kind, _reference(kind, raw, old, new))
    return renamed


def _reference(kind: str, raw: Any, old: int, new: int) -> Any:
    """A raw value with one position for another where it is a reference."""
    if kind == "r":
        return new if raw == old else raw
    if kind == "t":
        return tuple(
            None if slot is None else (slot[0], _reference(slot[0], slot[1], old, new)) for slot in raw
        )
    return raw
