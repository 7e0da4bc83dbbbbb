"""The log of a restored target, in step with its source, with its ids renamed to the source's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncrestore.model.ids import TX_COUNTER, IdCache, SeenIds, counter_of
from asyncrestore.model.log import Transaction, mentioned
from asyncrestore.model.schema import ORIGINAL_ID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.streams.memory import MemoryObjectReceiveStream

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import LogChunk
    from asyncrestore.verifying.differences import Differences


_RECENT_WEIGHT = 1 << 20
"""Of the newest transactions that are read at once: a hundred of an import, or one very large one."""


class TargetReader:
    """Reads a target's transactions with their ids renamed to the source's.

    An id is looked up among the original ids read so far. The cache of these is bounded; the target is asked
    for those that it has lost.

    Args:
        target: the database that the transactions are of; it is asked for original ids.
        original_id: entity id of `ORIGINAL_ID` in the target.
        own: entity ids of this project's bookkeeping attributes, whose datoms are left out.
        base: source id by target id, of the entities of the base schema.
        differences: takes original ids that are lost, or on several entities.
        cache_size: how many ids are remembered.
    """

    def __init__(
        self,
        target: Database,
        *,
        original_id: int,
        own: frozenset[int],
        base: dict[int, int],
        differences: Differences,
        cache_size: int = 2_000_000,
    ) -> None:
        self._target = target
        self._original_id = original_id
        self._own = own
        self._base = base
        self._differences = differences
        self._cache = IdCache(cache_size)
        self._seen = SeenIds()

    async def read(
        self, chunks: MemoryObjectReceiveStream[LogChunk]
    ) -> AsyncIterator[tuple[int | None, Transaction]]:
        """Yields the target's transactions in the source's ids, each with its source id.

        The source id is None for a transaction that no restore wrote.
        """
        async for chunk in chunks:
            transactions = list(chunk.transactions())
            names = await self._names(transactions)
            for transaction in transactions:
                yield names.get(transaction.tx), self._renamed(transaction, names)

    def _renamed(self, transaction: Transaction, names: dict[int, int]) -> Transaction:
        def name(kind: str, raw: Any) -> Any:
            if kind == "r":
                return names.get(raw, f"target entity {raw}")
            if kind != "t":
                return raw
            return tuple(None if slot is None else (slot[0], name(*slot)) for slot in raw)

        return Transaction.of(
            transaction.tx,
            [
                (
                    names.get(e, -e),
                    names.get(a, -a),
                    kind,
                    raw if kind not in "rt" else name(kind, raw),
                    added,
                )
                for e, a, kind, raw, added in transaction.datoms
                if a not in self._own
            ],
        )

    async def _names(self, transactions: list[Transaction]) -> dict[int, int]:
        """Returns the source id of every entity that the transactions mention, as far as it has one."""
        await self._note_original_ids(transactions)
        names: dict[int, int] = {}
        unknown = []
        for entity in mentioned(transactions):
            source = self._base.get(entity)
            if source is None:
                source = self._cache.get(entity)
            if source is None:
                unknown.append(entity)
            else:
                names[entity] = source
        if unknown:
            found = await self._target.values_of(ORIGINAL_ID, unknown)
            names.update(
                {entity: source for entity, source in zip(unknown, found, strict=True) if source is not None}
            )
            self._name_later_transactions(transactions[-1].tx, unknown, names)
        return names

    @staticmethod
    def _name_later_transactions(tx: int, unknown: list[int], names: dict[int, int]) -> None:
        """Names references to transactions that never came, by their distance from one that did."""
        for entity in unknown:
            if entity > tx and counter_of(entity) == TX_COUNTER and entity not in names and tx in names:
                names[entity] = entity - tx + names[tx]

    async def _note_original_ids(self, transactions: list[Transaction]) -> None:
        """Caches the original ids that these transactions give, and checks that each is on one entity."""
        holders: dict[int, int] = {}
        doubtful = []
        for transaction in transactions:
            for e, a, _, raw, added in transaction.datoms:
                if a != self._original_id or not isinstance(raw, int):
                    continue
                self._cache.put(e, raw)
                if not added:
                    self._differences.add(f"target t {transaction.t}: entity {e} lost its original id {raw}")
                    continue
                if holders.setdefault(raw, e) != e:
                    self._differences.add(f"target t {transaction.t}: original id {raw} is on two entities")
                if not self._seen.is_new(raw):
                    doubtful.append(raw)
        # Original ids come in the order of their counters, so one below those already seen may have been
        # given before.
        for source, entities in zip(
            doubtful, await self._target.entities_with(ORIGINAL_ID, doubtful), strict=True
        ):
            if entities != [holders[source]]:
                self._differences.add(f"original id {source} belongs to the target's entities {entities}")
        self._seen.add_all(holders)
