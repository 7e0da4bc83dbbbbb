"""A copy, or a copy of one, in the ids of its source, with nothing of what the library compares with."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from asyncrestore.model import TX_PARTITION, Transaction, tx_to_t

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.model import Datom

IDENT = 10
"""The entity id of :db/ident, in Local as in Pro."""
FIRST_T = {"local": 6, "mem": 1000}
"""The first t that is not of the bootstrap, by the scheme of a database's URI."""


class _Reading:
    """A database as it is: its log, what it was born with, and of a copy its bookkeeping and original ids."""

    def __init__(self, log: list[Transaction], born_with: dict[str, int]) -> None:
        self.born_with = born_with
        idents = {raw: e for t in log for e, a, kind, raw, _ in t.datoms if a == IDENT and kind == "k"}
        self._bookkeeping = {e for name, e in idents.items() if str(name).startswith("asyncrestore/")}
        self.log = log
        if self._bookkeeping:
            self._take_original_ids(idents["asyncrestore/original-id"])
            self.log = [self._without_bookkeeping(transaction) for transaction in log[2:]]

    def _take_original_ids(self, attribute: int) -> None:
        pairs = [(e, raw) for t in self.log for e, a, _, raw, _ in t.datoms if a == attribute]
        assert len({e for e, _ in pairs}) == len(pairs) == len({raw for _, raw in pairs}), "one id an entity"
        self._originals: dict[int, int] = dict(pairs)  # type: ignore[arg-type]
        self._newest = max(entity for entity in self._originals if entity >> 42 == TX_PARTITION)

    def _without_bookkeeping(self, transaction: Transaction) -> Transaction:
        own = [datom for datom in transaction.datoms if datom[1] not in self._bookkeeping]
        return Transaction.of(transaction.tx, own)

    def renamed(self, transactions: list[Transaction], source: _Reading) -> list[Transaction]:
        """Transactions of this copy in its source's ids."""
        base = {e: source.born_with.get(name, -e) for name, e in self.born_with.items()}

        def name(entity: int) -> int:
            assert entity not in self._bookkeeping
            if entity >> 42 == TX_PARTITION and entity > self._newest:
                # A transaction that never came.
                return entity - self._newest + self._originals[self._newest]
            return self._originals.get(entity) or base.get(entity, -entity)

        def value(kind: str, raw: Any) -> Any:
            if kind == "t":
                return tuple(None if slot is None else (slot[0], value(*slot)) for slot in raw)
            return name(raw) if kind == "r" else raw

        return [
            Transaction.of(
                name(t.tx), [(name(e), name(a), k, value(k, raw), added) for e, a, k, raw, added in t.datoms]
            )
            for t in transactions
        ]


async def _read(database: Database) -> _Reading:
    first = FIRST_T[database.uri.split(":")[1]]
    _, chunk = await database.read_log(first, await database.basis_t() + 1, size=1 << 40)
    rows = (await database.schema_history()).rows()
    born_with = {
        str(raw): e for tx, (e, a, _, raw, added) in rows if a == IDENT and added and tx_to_t(tx) < first
    }
    return _Reading(list(chunk.transactions()), born_with)


def _counted(transactions: list[Transaction]) -> list[tuple[int, Counter[Datom]]]:
    return [(transaction.tx, Counter(transaction.datoms)) for transaction in transactions]


async def check_copy(source: Database, copy: Database, *further: Database) -> None:
    """The copy, or the last of several made of each other, has the source's history and nothing else."""
    readings = [await _read(database) for database in (source, copy, *further)]
    log = readings[-1].log
    for its_source, reading in reversed(list(pairwise(readings))):
        log = reading.renamed(log, its_source)
    assert _counted(log) == _counted(readings[0].log)
