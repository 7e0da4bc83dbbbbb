"""Data to commit, in packed columns, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncrestore.model.log import Transaction, weight

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

STRIDE = 4
"""How many places an operation takes in a flat list: entity, attribute, kind, raw."""

ENTITIES, ATTRIBUTES, KINDS, RAWS = (slice(place, None, STRIDE) for place in range(STRIDE))
"""The columns of a flat list of operations: ``adds[KINDS]`` has the kind of each."""


def operations(flat: list[Any]) -> Iterator[tuple[int, int, str, Any]]:
    """Returns the operations of a flat list, one after the other: entity, attribute, kind, raw."""
    return zip(flat[ENTITIES], flat[ATTRIBUTES], flat[KINDS], flat[RAWS], strict=True)


@dataclass(slots=True)
class TxData:
    """A transaction to commit.

    Attributes:
        tx: source id of the transaction.
        adds: assertions in one flat list: entity, attribute, kind, raw, entity, ... Entities, attributes and
            references are positions (see `positions`).
        retracts: retractions, in the same form.
        cas: entity, attribute and new value of a compare-and-swap from no value.
        source: the transaction that it was made from, for counting and for errors.
    """

    tx: int
    adds: list[Any]
    retracts: list[Any]
    cas: tuple[int, int, int] | None = None
    source: Transaction | None = None

    @property
    def weight(self) -> int:
        """The weight of the datoms that it was made from, or else of its operations (see `model.weight`)."""
        if self.source is not None:
            return self.source.weight
        raws = [*self.adds[RAWS], *self.retracts[RAWS]]
        return weight(len(raws), raws)


@dataclass(slots=True)
class Committed:
    """A transaction that is in the target.

    Attributes:
        before: the target's t just before it.
        tx: its id in the target.
        ids: source id, target id, source id, ... of the entities that it made.
    """

    before: int
    tx: int
    ids: array[int]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Why a request to a database failed, in Datomic's terms.

    Attributes:
        category: a Cognitect anomaly: ``busy``, ``unavailable``, ``conflict``, ``not-found``, ``incorrect``,
            ...
        message: the engine's text.
        error: ``:db/error`` without its namespace, such as ``cas-failed``.
        entity: the value of the lookup ref that the error names, or the entity id that it names.
        present: the present value, if a compare-and-swap failed.
    """

    category: str
    message: str
    error: str | None = None
    entity: int | None = None
    present: int | None = None


@dataclass(slots=True)
class BatchResult:
    """The outcome of a batch of transactions.

    Attributes:
        committed: the transactions that committed, from the first on without a gap.
        anomaly: why the next one failed, None if all committed.
        behind: transactions after the failed one that are known to have committed all the same. There can be
            some only if the anomaly leaves the failed one's outcome open, or if somebody else had committed
            it.
    """

    committed: list[Committed]
    anomaly: Anomaly | None = None
    behind: list[Committed] = field(default_factory=list)
