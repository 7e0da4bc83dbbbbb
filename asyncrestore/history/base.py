"""What every history offers, wherever it is read from.

A history is a database's own, from its first user transaction on. It is read in parts, which can be loaded
ahead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from asyncrestore.excision.excised import Excisions
    from asyncrestore.model.code import Found
    from asyncrestore.model.log import Datom, LogChunk
    from asyncrestore.model.schema import Schema
    from asyncrestore.model.state import State
    from asyncrestore.segments.document import SegmentRange


PAGE_WEIGHT = 16_384
"""Least weight of the datoms of a page of the log, and so of a row group of a segment (see `model.weight`).

The last page may weigh less.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a history that is loaded as a whole.

    Attributes:
        range: what it covers.
        size: how many bytes it takes in memory.
    """

    range: SegmentRange
    size: int


class History(ABC):
    """The transactions of a database after its bootstrap.

    Attributes:
        identity: the identity of the source database.
        where: what is read, in human-readable form.
        bootstrap_t: the t of the last transaction that is not part of the history.
        base: idents of the base schema by entity id.
        tx_instant: the entity id of `:db/txInstant`.
        end: the first t after the history; the t after `bootstrap_t` if the history is empty.
    """

    identity: str
    where: str
    bootstrap_t: int
    base: Mapping[int, str]
    tx_instant: int
    end: int

    @abstractmethod
    def parts(self, start: int) -> list[Part]:
        """Returns the parts to load, in order, to have all transactions with t >= start."""

    @abstractmethod
    async def load(self, part: Part) -> AsyncIterator[LogChunk]:
        """Reads a part, checks all of it, and returns its transactions in chunks.

        Raises:
            SegmentDamaged: the part cannot be used.
            DamageError: it does not follow the one before it; raised when the first chunk is asked for.
            Conflict: the part belongs to another database or backup.
        """

    @abstractmethod
    async def state(self, tx: int) -> State:
        """Returns the state after the transaction with id `tx`.

        Raises:
            Conflict: the history ends before that transaction.
        """

    @abstractmethod
    async def schema(self) -> Schema:
        """Returns the schema after the last transaction.

        Raises:
            DamageError: a part that it depends on cannot be used, is missing, or lacks transactions.
            Conflict: one belongs to another database.
        """

    @abstractmethod
    async def excisions(self) -> Excisions:
        """Returns what the requests for excision in all of the history cover.

        A part that cannot be used is passed over; `load` raises the error.
        """

    @abstractmethod
    async def some(self, attributes: Collection[int], start: int, end: int) -> list[tuple[int, Datom]]:
        """Returns the datoms of a few attributes in the transactions with start <= t < end.

        Each is with its transaction id. They are in any order, and may come twice. It takes a pass over these
        transactions. A part that cannot be used is passed over; `load` raises the error.
        """

    @abstractmethod
    async def code(self, start: int, end: int) -> list[Found]:
        """Returns what names code or is code in the transactions with start <= t < end.

        A part that cannot be used is passed over; `load` raises the error.
        """
