"""What must be known of a log before a transaction of it can be read: the schema and the largest ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncrestore.ids import SeenIds
    from asyncrestore.model import LogChunk, Transaction
    from asyncrestore.schema import Schema


@dataclass(slots=True)
class State:
    """The state of a log after one of its transactions.

    Attributes:
        schema: as of that transaction.
        seen: the largest indexes up to that transaction.
        last: that transaction itself, if it was read.
    """

    schema: Schema
    seen: SeenIds
    last: Transaction | None = None

    def advance(self, chunk: LogChunk, until_tx: int) -> None:
        """Takes in the chunk's transactions up to and including `until_tx`."""
        for transaction in chunk.until(until_tx).transactions():
            self.last = transaction if transaction.tx == until_tx else None
            self.schema.apply(transaction.datoms)
            self.seen.add_all(set(transaction.e))
