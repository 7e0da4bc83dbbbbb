"""The data that comes out of a log: chunks and transactions. What goes into one is in `commit`.

Bulk data stays in columns. They take 40 bytes a datom, and come from the pipe and turn into Parquet without a
Python object for each datom. Rows are made a chunk at a time, where something looks at single datoms.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncrestore.model.values import NUMERIC_KINDS, REF, REFERRING_KINDS, Raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


Datom: TypeAlias = tuple[int, int, str, Raw, bool]
"""Entity id, attribute id, kind of the value, the value's raw form, asserted (or retracted)."""

INDEX_BITS = 42
"""Bits of an entity id below its partition. They hold its index, which for a transaction is its t."""

INDEX_MASK = (1 << INDEX_BITS) - 1
TX_PARTITION = 3


def weight(datoms: int, raws: Iterable[Any]) -> int:
    """Returns the weight of datoms: 1 for each, and 1 more for every 64 characters of its text.

    Memory is bounded by weight and not by number: a text may have thousands of characters, and with some
    engines any number.

    Args:
        datoms: how many there are.
        raws: raw forms of their values, at least of the texts.
    """
    return datoms + sum(len(raw) >> 6 for raw in raws if raw.__class__ is not int)


def t_to_tx(t: int) -> int:
    """Returns the entity id of the transaction with that t; the layout is the same in every edition."""
    return (TX_PARTITION << INDEX_BITS) | t


def tx_to_t(tx: int) -> int:
    """Returns the t of a transaction's entity id."""
    return tx & INDEX_MASK


@dataclass(slots=True)
class LogChunk:
    """Whole transactions of a log, their datoms in columns, in the log's order.

    Attributes:
        tx: transaction id of each datom.
        e: entity id of each datom.
        a: attribute id of each datom.
        numbers: the raw value of each datom whose kind is numeric, 0 for the others.
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
        """The weight of its datoms, see `weight`."""
        return weight(len(self), self.texts)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, Datom]]) -> LogChunk:
        """Makes a chunk from rows as `rows` yields them: transaction id and datom."""
        chunk = cls()
        kinds, added = [], []
        for tx, (e, a, kind, raw, true) in rows:
            chunk.tx.append(tx)
            chunk.e.append(e)
            chunk.a.append(a)
            kinds.append(kind)
            added.append("+" if true else "-")
            if kind in NUMERIC_KINDS:
                assert isinstance(raw, int)
                chunk.numbers.append(raw)
            else:
                chunk.numbers.append(0)
                chunk.texts.append(raw)
        chunk.kinds, chunk.added = "".join(kinds), "".join(added)
        return chunk

    @classmethod
    def join(cls, chunks: Sequence[LogChunk]) -> LogChunk:
        """Joins chunks into one."""
        whole = cls(kinds="".join(c.kinds for c in chunks), added="".join(c.added for c in chunks))
        for chunk in chunks:
            whole.tx.extend(chunk.tx)
            whole.e.extend(chunk.e)
            whole.a.extend(chunk.a)
            whole.numbers.extend(chunk.numbers)
            whole.texts.extend(chunk.texts)
        return whole

    def after(self, tx: int) -> LogChunk:
        """Returns the transactions with a larger id than `tx`."""
        return self._slice(bisect_right(self.tx, tx), len(self))

    def until(self, tx: int) -> LogChunk:
        """Returns the transactions up to and including `tx`."""
        return self._slice(0, bisect_right(self.tx, tx))

    def _slice(self, first: int, end: int) -> LogChunk:
        if (first, end) == (0, len(self)):
            return self
        texts_before = sum(kind not in NUMERIC_KINDS for kind in self.kinds[:first])
        texts = sum(kind not in NUMERIC_KINDS for kind in self.kinds[first:end])
        return LogChunk(
            tx=self.tx[first:end],
            e=self.e[first:end],
            a=self.a[first:end],
            numbers=self.numbers[first:end],
            kinds=self.kinds[first:end],
            added=self.added[first:end],
            texts=self.texts[texts_before : texts_before + texts],
        )

    def datoms(self) -> list[Datom]:
        """Returns all datoms, as rows."""
        return _rows(self.e, self.a, self.kinds, self._raws(), self.added)

    def _raws(self) -> list[Any]:
        """Returns the raw value of each datom."""
        raws: list[Any] = self.numbers.tolist()
        if self.texts:
            texts = iter(self.texts)
            for i, kind in enumerate(self.kinds):
                if kind not in NUMERIC_KINDS:
                    raws[i] = next(texts)
        return raws

    def rows(self) -> Iterator[tuple[int, Datom]]:
        """Yields each datom, as a row, with its transaction id."""
        return zip(self.tx, self.datoms(), strict=True)

    def transactions(self) -> Iterator[Transaction]:
        """Yields the chunk's transactions, in order."""
        e, a, kinds, raws, added = self.e.tolist(), self.a.tolist(), self.kinds, self._raws(), self.added
        all_short = weight(0, self.texts) == 0
        start = 0
        for tx, run in groupby(self.tx):
            end = start + len(list(run))
            part = slice(start, end)
            known_weight = end - start if all_short else None
            yield Transaction(
                tx, e[part], a[part], kinds[part], raws[part], added[part], _weight=known_weight
            )
            start = end

    def txs(self) -> list[int]:
        """Returns the transactions' ids, in order; an id is there twice if its datoms are not adjacent."""
        return [tx for tx, _ in groupby(self.tx)]


def _rows(e: Iterable[int], a: Iterable[int], kinds: str, raws: Iterable[Any], added: str) -> list[Datom]:
    return list(zip(e, a, kinds, raws, map("+".__eq__, added), strict=True))


@dataclass(slots=True)
class Transaction:
    """A transaction of a log, its datoms in columns, in the log's order.

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
    _weight: int | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, tx: int, datoms: list[Datom]) -> Transaction:
        """Makes a transaction from rows."""
        e, a, kinds, raws, added = zip(*datoms, strict=True) if datoms else ((),) * 5
        signs = "".join("+" if true else "-" for true in added)
        return cls(tx, list(e), list(a), "".join(kinds), list(raws), signs, datoms)

    def __len__(self) -> int:
        return len(self.e)

    @property
    def weight(self) -> int:
        """The weight of its datoms, see `weight`; it is added up when it is first asked for."""
        if self._weight is None:
            self._weight = weight(len(self), self.raws)
        return self._weight

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
        """Returns its instant in milliseconds since 1970, or None; Local's t=1 has none.

        Args:
            tx_instant: entity id of `:db/txInstant`.
        """
        for e, a, _, raw, added in self.datoms:
            if a == tx_instant and e == self.tx and added and isinstance(raw, int):
                return raw
        return None


def mentioned(transactions: Iterable[Transaction]) -> set[int]:
    """Returns every id in the transactions: entities, attributes, references."""
    ids = set()
    for transaction in transactions:
        for e, a, kind, raw, _ in transaction.datoms:
            ids.add(e)
            ids.add(a)
            if kind in REFERRING_KINDS:
                ids.update(references(kind, raw))
    return ids


def references(kind: str, raw: Any) -> Iterable[int]:
    """Returns the entities that a value of kind `r` (a reference) or `t` (a tuple) refers to."""
    if kind == REF:
        return (raw,)
    return (slot[1] for slot in raw if slot is not None and slot[0] == REF)
