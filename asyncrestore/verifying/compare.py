"""Compares two histories transaction by transaction: a source's, and the target's that was restored from it.

The target's ids are renamed to the source's by the original ids in the target's log. Nothing of the resolver
is used here, because its work is what is checked.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import anyio

from asyncrestore.excision.excised import Excisions, Given, Surplus
from asyncrestore.history.budget import ByteBudget
from asyncrestore.history.copies import own_attributes
from asyncrestore.history.prefetch import prefetch
from asyncrestore.model.log import Transaction, t_to_tx, tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID
from asyncrestore.progress import Progress
from asyncrestore.tasks import task_group
from asyncrestore.verifying.differences import Differences, words
from asyncrestore.verifying.target_reader import _RECENT_WEIGHT, TargetReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

    from anyio.streams.memory import MemoryObjectReceiveStream

    from asyncrestore.datomic.base import Database
    from asyncrestore.filters.filter import Filter
    from asyncrestore.history.base import History
    from asyncrestore.history.live import LiveHistory
    from asyncrestore.model.log import Datom, LogChunk
    from asyncrestore.model.schema import Schema
    from asyncrestore.progress import OnProgress


PREFETCH_BYTES = 16 * 1024 * 1024


async def _next(
    transactions: AsyncIterator[tuple[int | None, Transaction]],
) -> tuple[int | None, Transaction | None]:
    try:
        return await transactions.__anext__()
    except StopAsyncIteration:
        return None, None


class Comparison:
    """Compares a source's history with a target's, in step.

    Args:
        schema: of the source as of its bootstrap; moved on with the log.
        excisions: what the source's requests for excision cover; counts what the target holds of it.
        filter_: the filter that the target was restored with, if any.
        may_be_ahead: whether the target may have transactions after the source's last one: the source is a
            backup, and the target was restored from a newer one.
        differences: takes what is found.
        progress: moved on with the source's t.
        on_progress: called with `progress` after each chunk.

    Attributes:
        ahead: how many transactions the target has after the source's last one.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        excisions: Excisions,
        filter_: Filter | None,
        may_be_ahead: bool,
        differences: Differences,
        progress: Progress,
        on_progress: OnProgress,
    ) -> None:
        self.ahead = 0
        self._may_be_ahead = may_be_ahead
        self._schema = schema
        self._excisions = excisions
        self._given = Given(excisions)
        self._surplus = Surplus(excisions)
        self._filter = filter_
        self._differences = differences
        self._progress = progress
        self._on_progress = on_progress

    async def run(
        self,
        expected: MemoryObjectReceiveStream[LogChunk],
        actual: AsyncIterator[tuple[int | None, Transaction]],
    ) -> None:
        """Compares each source transaction with the target's that has its id as original id.

        Args:
            expected: the source's transactions.
            actual: the target's, as `TargetReader.read` yields them.
        """
        source_tx, found = await _next(actual)
        async for chunk in expected:
            for transaction in chunk.transactions():
                while found is not None and (source_tx is None or source_tx < transaction.tx):
                    self._unexpected(source_tx, found)
                    source_tx, found = await _next(actual)
                present = found if source_tx == transaction.tx else None
                self._compare(transaction, present)
                if present is not None:
                    source_tx, found = await _next(actual)
                if self._schema.touches(transaction.a):
                    self._schema.apply(transaction.datoms)
                self._progress.transactions += 1
                self._progress.datoms += len(transaction)
            self._progress.committed_t = tx_to_t(chunk.tx[-1]) + 1
            self._on_progress(self._progress)
        last_tx = t_to_tx(self._progress.end_t - 1)
        while found is not None:
            if self._may_be_ahead and source_tx is not None and source_tx > last_tx:
                last_tx = source_tx
                self.ahead += 1
            else:
                self._unexpected(source_tx, found)
            source_tx, found = await _next(actual)
        for text in self._surplus.settle():
            self._differences.add(text)

    def compare_some(self, pairs: Iterable[tuple[Transaction, Transaction | None]]) -> None:
        """Compares some transactions, each with the target's, None where that is missing."""
        for transaction, found in pairs:
            self._compare(transaction, found)

    def _unexpected(self, source_tx: int | None, found: Transaction) -> None:
        if source_tx is None:
            self._differences.add(f"target t {found.t}: a transaction that no restore wrote")
        else:
            self._differences.add(
                f"target t {found.t}: source t {tx_to_t(source_tx)} again, out of order, or not in the source"
            )

    def _own_datoms(self, transaction: Transaction) -> list[Datom]:
        """Returns the source's datoms as they were sent, without the bookkeeping of an earlier restore."""
        wanted = self._excisions.apply(transaction, self._schema)
        if self._filter is not None:
            wanted = self._filter.apply(wanted)
        return [datom for datom in wanted.datoms if not self._schema.is_bookkeeping(datom[1])]

    def _compare(self, transaction: Transaction, found: Transaction | None) -> None:
        """Compares a transaction of the source with the target's, None if that is missing."""
        wanted, unneeded = self._given.split(self._own_datoms(transaction))
        there = [] if found is None else self._excisions.without_slots(found.datoms, self._schema)
        distinct = set(wanted)
        if found is None:
            self._differences.add(f"t {transaction.t}: the transaction is missing in the target")
        elif not (len(distinct) == len(wanted) == len(there) and distinct == set(there)):
            self._tell_apart(transaction.t, found.t, Counter(wanted), Counter(there), set(unneeded))

    def _tell_apart(
        self, t: int, target_t: int, wanted: Counter[Datom], there: Counter[Datom], unneeded: set[Datom]
    ) -> None:
        """Describes what differs in a transaction, and counts what the target holds of what is excised."""
        noted_once = self._retracted_by_changes(wanted.keys(), there.keys())
        for datom in (wanted - there).elements():
            if datom[4] or datom[:2] not in noted_once:
                self._differences.add(f"t {t}: missing in the target: {words(datom, self._schema)}")
        for datom in (there - wanted).elements():
            text = f"t {t}: only in the target (t {target_t}): {words(datom, self._schema)}"
            if not self._surplus.take(datom, t, text, allowed=datom in unneeded):
                self._differences.add(text)

    def _retracted_by_changes(
        self, wanted: Collection[Datom], there: Collection[Datom]
    ) -> set[tuple[int, int]]:
        """Returns the places (entity, attribute) of one value whose change is in both logs.

        There a second retraction says nothing more: the user asked for it beside the change, which retracts
        by itself. A durable database of Datomic Local notes only one of the two.
        """
        attributes = self._schema.attributes
        changed = {
            (e, a) for e, a, _, _, added in wanted if added and a in attributes and not attributes[a].many
        }
        return {d[:2] for d in there if not d[4] and d in wanted and d[:2] in changed}


async def first_difference(
    recent: Sequence[Transaction], schema: Schema, target: Database, found: LiveHistory, target_t: int
) -> str | None:
    """Compares the newest transactions of a target with those that they were restored from.

    Args:
        recent: of the source, in order; the target's transaction at `target_t` is of the last one.
        schema: of the source, the same at each of them.
        target: the restored database.
        found: the target's own history.
        target_t: t of its newest transaction that was restored.

    Returns:
        What differs first, None if nothing does, of those that are among the target's last ones.
    """
    own = own_attributes(await target.schema_history())
    differences = Differences(1)
    reader = _reader(schema, target, found, own, differences)
    start = max(found.bootstrap_t, target_t - len(recent)) + 1
    _, chunk = await target.read_log(start, target_t + 1, size=_RECENT_WEIGHT)
    send, receive = anyio.create_memory_object_stream["LogChunk"](1)
    async with send, receive:
        await send.send(chunk)
        await send.aclose()
        pairs = [pair async for pair in reader.read(receive)]
    restored = {source_tx: each for source_tx, each in pairs if source_tx is not None}
    comparison = Comparison(
        schema,
        excisions=Excisions({}),
        filter_=None,
        may_be_ahead=False,
        differences=differences,
        progress=Progress(start_t=0, end_t=0),
        on_progress=lambda _: None,
    )
    # A page may have a part of them.
    read = [each for each in recent if restored and min(restored) <= each.tx <= max(restored)]
    comparison.compare_some((each, restored.get(each.tx)) for each in read)
    return differences.first[0] if differences.count else None


async def compare(
    history: History,
    target: Database,
    *,
    found: LiveHistory,
    excisions: Excisions,
    filter_: Filter | None,
    may_be_ahead: bool,
    differences: Differences,
    progress: Progress,
    on_progress: OnProgress,
) -> int:
    """Compares a source's history with the target that was restored from it.

    Args:
        history: of the source.
        target: the restored database.
        found: the target's own history.
        excisions: what the source's requests for excision cover; counts what the target holds of it.
        filter_: the filter that the target was restored with, if any.
        may_be_ahead: whether the target may have transactions after the history's end (see `Comparison`).
        differences: takes what is found.
        progress: moved on with the source's t.
        on_progress: called with `progress` now and then.

    Returns:
        How many transactions the target has after the history's end, if it may be ahead.

    Raises:
        SegmentDamaged: the history cannot be read.
        RewriteFailed: one of its values cannot be rewritten.
    """
    own = own_attributes(await target.schema_history())
    state = await history.state(t_to_tx(history.bootstrap_t))
    reader = _reader(state.schema, target, found, own, differences)
    comparison = Comparison(
        state.schema,
        excisions=excisions,
        filter_=filter_,
        may_be_ahead=may_be_ahead,
        differences=differences,
        progress=progress,
        on_progress=on_progress,
    )
    expected_send, expected = anyio.create_memory_object_stream["LogChunk"](1)
    actual_send, actual = anyio.create_memory_object_stream["LogChunk"](1)
    never = anyio.Event()
    async with task_group() as tasks, expected, actual:
        for source, send in ((history, expected_send), (found, actual_send)):
            budget = ByteBudget(PREFETCH_BYTES)
            tasks.start_soon(
                partial(prefetch, source, t_to_tx(source.bootstrap_t), budget=budget, output=send, stop=never)
            )
        await comparison.run(expected, reader.read(actual))
    return comparison.ahead


def _reader(
    schema: Schema, target: Database, found: LiveHistory, own: Mapping[str, int], differences: Differences
) -> TargetReader:
    """Makes a reader of a target; `schema` is the source's, `own` as `own_attributes` returns it."""
    target_base = found.schema_as_of(found.bootstrap_t).base
    source_ids = {ident: entity for entity, ident in schema.base.items()}
    return TargetReader(
        target,
        original_id=own[ORIGINAL_ID],
        own=frozenset(own.values()),
        base={entity: source_ids[ident] for entity, ident in target_base.items() if ident in source_ids},
        differences=differences,
    )
