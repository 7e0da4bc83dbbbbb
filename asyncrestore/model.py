"""What passes between the parts: datoms in columns, transactions, data to commit and what came of it.

Bulk data stays in columns: they cost 40 bytes a datom and turn into Parquet, or come from the pipe, without
a Python object for each. Rows are made a chunk at a time, where something looks at single datoms.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncrestore.values import NUMERIC_KINDS, Raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Datom: TypeAlias = tuple[int, int, str, Raw, bool]
"""Entity id, attribute id, kind of the value, the value's raw form, asserted (or retracted)."""

INDEX_BITS = 42
"""Bits of an entity id below its partition. They hold its index, which for a transaction is its t."""

INDEX_MASK = (1 << INDEX_BITS) - 1
TX_PARTITION = 3


def weight(datoms: int, raws: Iterable[Any]) -> int:
    """What datoms weigh: each one, and one more for every 64 characters of its text.

    What bounds memory counts so: a text may have thousands of characters, and with some engines any number.

    Args:
        datoms: how many there are.
        raws: raw forms of their values, the texts among them.
    """
    return datoms + sum(len(raw) >> 6 for raw in raws if raw.__class__ is not int)


def t_to_tx(t: int) -> int:
    """The entity id of the transaction with basis t (the same layout in every edition)."""
    return (TX_PARTITION << INDEX_BITS) | t


def tx_to_t(tx: int) -> int:
    """The t of a transaction's entity id."""
    return tx & INDEX_MASK


@dataclass(slots=True)
class LogChunk:
    """Datoms in columns, in the log's order, whole transactions.

    Attributes:
        tx: transaction id of each datom.
        e: entity id of each datom.
        a: attribute id of each datom.
        numbers: the raw value where its kind is numeric, else 0.
        kinds: the kind of each value, one letter a datom.
        added: ``+`` or ``-`` for each datom.
        texts: the raw values of the datoms whose kind is not numeric, in order.
    """

    tx: array[int] = field(default_factory=lambda: array("q"))
    e: array[int] = field(default_factory=lambda: array("q"))
    a: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    kinds: str = ""
    added: str = ""
    texts: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tx)

    @property
    def weight(self) -> int:
        """See `weight`."""
        return weight(len(self), self.texts)

    @classmethod
    def join(cls, chunks: Sequence[LogChunk]) -> LogChunk:
        """Several chunks as one."""
        whole = cls(kinds="".join(c.kinds for c in chunks), added="".join(c.added for c in chunks))
        for chunk in chunks:
            whole.tx.extend(chunk.tx)
            whole.e.extend(chunk.e)
            whole.a.extend(chunk.a)
            whole.numbers.extend(chunk.numbers)
            whole.texts.extend(chunk.texts)
        return whole

    def after(self, tx: int) -> LogChunk:
        """The transactions with a larger id than `tx`."""
        return self._slice(bisect_right(self.tx, tx), len(self))

    def until(self, tx: int) -> LogChunk:
        """The transactions up to and including `tx`."""
        return self._slice(0, bisect_right(self.tx, tx))

    def _slice(self, first: int, end: int) -> LogChunk:
        if (first, end) == (0, len(self)):
            return self
        texts_before = sum(kind not in NUMERIC_KINDS for kind in self.kinds[:first])
        texts = sum(kind not in NUMERIC_KINDS for kind in self.kinds[first:end])
        return LogChunk(
            self.tx[first:end],
            self.e[first:end],
            self.a[first:end],
            self.numbers[first:end],
            self.kinds[first:end],
            self.added[first:end],
            self.texts[texts_before : texts_before + texts],
        )

    def datoms(self) -> list[Datom]:
        """All datoms, one after the other."""
        return _rows(self.e, self.a, self.kinds, self._raws(), self.added)

    def _raws(self) -> list[Any]:
        """The raw value of each datom."""
        raws: list[Any] = self.numbers.tolist()
        if self.texts:
            texts = iter(self.texts)
            for i, kind in enumerate(self.kinds):
                if kind not in NUMERIC_KINDS:
                    raws[i] = next(texts)
        return raws

    def rows(self) -> Iterator[tuple[int, Datom]]:
        """Each datom with its transaction id."""
        return zip(self.tx, self.datoms(), strict=True)

    def transactions(self) -> Iterator[Transaction]:
        """The chunk's transactions, in order, each made as it is asked for."""
        e, a, kinds, raws, added = self.e.tolist(), self.a.tolist(), self.kinds, self._raws(), self.added
        start = 0
        for tx, run in groupby(self.tx):
            end = start + len(list(run))
            part = slice(start, end)
            yield Transaction(tx, e[part], a[part], kinds[part], raws[part], added[part])
            start = end

    def txs(self) -> list[int]:
        """The transactions' ids, in order; one twice if it does not stand together."""
        return [tx for tx, _ in groupby(self.tx)]


def _rows(e: Iterable[int], a: Iterable[int], kinds: str, raws: Iterable[Any], added: str) -> list[Datom]:
    return list(zip(e, a, kinds, raws, map("+".__eq__, added), strict=True))


@dataclass(slots=True)
class Transaction:
    """One transaction of a log, its datoms in columns, in the log's order.

    Attributes:
        tx: its entity id.
        e: entity id of each datom.
        a: attribute id of each datom.
        kinds: the kind of each value, one letter a datom.
        raws: the raw form of each value.
        added: ``+`` or ``-`` for each datom.
    """

    tx: int
    e: list[int]
    a: list[int]
    kinds: str
    raws: list[Any]
    added: str
    _datoms: list[Datom] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, tx: int, datoms: list[Datom]) -> Transaction:
        """One from rows."""
        e, a, kinds, raws, added = zip(*datoms, strict=True) if datoms else ((),) * 5
        signs = "".join("+" if true else "-" for true in added)
        return cls(tx, list(e), list(a), "".join(kinds), list(raws), signs, datoms)

    def __len__(self) -> int:
        return len(self.e)

    @property
    def weight(self) -> int:
        """See `weight`."""
        return weight(len(self), self.raws)

    @property
    def datoms(self) -> list[Datom]:
        """The datoms as rows, made when they are first asked for."""
        if self._datoms is None:
            self._datoms = _rows(self.e, self.a, self.kinds, self.raws, self.added)
        return self._datoms

    @property
    def t(self) -> int:
        """The transaction's basis t."""
        return tx_to_t(self.tx)

    def instant(self, tx_instant: int) -> int | None:
        """Its instant in milliseconds since 1970, given the attribute's id; Local's t=1 has none."""
        for e, a, _, raw, added in self.datoms:
            if a == tx_instant and e == self.tx and added and isinstance(raw, int):
                return raw
        return None


@dataclass(slots=True)
class TxData:
    """One transaction to commit.

    Attributes:
        tx: source id of the transaction.
        adds: assertions, flat: entity, attribute, kind, raw, entity, ... Entity, attribute and references are
            positions (see `positions`).
        retracts: retractions, likewise.
        cas: entity, attribute and new value of a compare-and-swap, whose old value is none.
        source: the transaction it was made from, for counting and for errors.
    """

    tx: int
    adds: list[Any]
    retracts: list[Any]
    cas: tuple[int, int, int] | None = None
    source: Transaction | None = None

    @property
    def weight(self) -> int:
        """What its assertions and retractions weigh, see `weight`."""
        raws = [*self.adds[3::4], *self.retracts[3::4]]
        return weight(len(raws), raws)


@dataclass(slots=True)
class Committed:
    """A transaction that is in the target.

    Attributes:
        before: the target's t just before it.
        tx: its id in the target.
        ids: source id, target id, source id, ... of the entities it made.
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
        entity: the value of the lookup ref that the error names, or its entity id.
        present: the present value, of a compare-and-swap that failed.
    """

    category: str
    message: str
    error: str | None = None
    entity: int | None = None
    present: int | None = None


@dataclass(slots=True)
class BatchResult:
    """What became of a batch: so many are committed, the next one failed if there is an anomaly.

    Those behind it cannot have committed, unless the anomaly leaves open what became of that one, or somebody
    else had committed it: `behind` has those that are known to be committed all the same.
    """

    committed: list[Committed]
    anomaly: Anomaly | None = None
    behind: list[Committed] = field(default_factory=list)
