"""How far the target is, as its answers tell. Nothing here waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.errors import Conflict
from asyncrestore.model.log import tx_to_t

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.history.copies import Marker, Restored
    from asyncrestore.model.commit import Committed, TxData
    from asyncrestore.model.ids import IdCache


class Reached:
    """The last transaction that is known to be in the target; what is known of its ids goes into the cache.

    Args:
        marker: where the restore begins.
        cache: receives the target ids of new entities.
        uri: the target's, for errors.

    Attributes:
        source_tx: source id of that transaction.
        target_t: the target's own t of it.
        moved: whether any transaction was added since the restore began.
    """

    def __init__(self, marker: Marker, cache: IdCache, uri: str) -> None:
        self.source_tx = marker.source_tx
        self.target_t = marker.target_t
        self.moved = False
        self._cache = cache
        self._uri = uri

    def add(self, committed: Iterable[Committed], batch: Iterable[TxData]) -> None:
        """Takes in the answers to the next transactions.

        Raises:
            Conflict: somebody else wrote between two of them.
        """
        put = self._cache.put
        for answer, transaction in zip(committed, batch, strict=False):
            if answer.before != self.target_t:
                raise Conflict(
                    f"Somebody else wrote to {self._uri} during the restore: t {self.target_t + 1} to "
                    f"{answer.before}, before source t {tx_to_t(transaction.tx)}",
                    hint="The target's history is no longer the source's. Restore into a new database.",
                )
            self.target_t = tx_to_t(answer.tx)
            self.source_tx = transaction.tx
            self.moved = True
            put(transaction.tx, answer.tx)
            ids = answer.ids
            for i in range(0, len(ids), 2):
                put(ids[i], ids[i + 1])

    def add_found(self, restored: Restored) -> None:
        """Takes in the next transaction as it was read from the target's log."""
        self.target_t = tx_to_t(restored.tx)
        self.source_tx = restored.source_tx
        self.moved = True
        for entity, original in restored.original_ids.items():
            self._cache.put(original, entity)
