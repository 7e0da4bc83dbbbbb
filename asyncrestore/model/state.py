"""What must be known of a log before a transaction of it can be read: the schema and the largest ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncrestore.model.ids import SeenIds
    from asyncrestore.model.log import LogChunk, Transaction
    from asyncrestore.model.schema import Schema

RECENT = 64
"""So many transactions are remembered."""


@dataclass(slots=True)
class State:
    """The state of a log after one of its transactions.

    Attributes:
        schema: as of that transaction.
        seen: the largest indexes up to that transaction.
        last: that transaction itself, if it was read.
        recent: some transactions up to it, in order, since the schema was the same.
    """

    schema: Schema
    seen: SeenIds
    last: Transaction | None = None
    recent: list[Transaction] = field(default_factory=list)

    def advance(self, chunk: LogChunk, until_tx: int) -> None:
        """Takes in the chunk's transactions up to and including `until_tx`."""
        for transaction in chunk.until(until_tx).transactions():
            self.last = transaction if transaction.tx == until_tx else None
            self.remember(transaction)
            self.schema.apply(transaction.datoms)
            self.seen.add_all(set(transaction.e))

    def remember(self, transaction: Transaction) -> None:
        """Takes the next transaction into `recent`."""
        if self.schema.touches(transaction.a):
            self.recent.clear()
        else:
            del self.recent[: -RECENT + 1]
            self.recent.append(transaction)
