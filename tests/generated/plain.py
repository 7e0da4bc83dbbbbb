"""A copy of a copy in the ids of the first source, with nothing of what the library compares with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from asyncrestore.model import TX_PARTITION, Transaction

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.model import Datom

IDENT, BOOTSTRAP_T = 10, 5
"""Of Datomic Local, where all of these databases are: the entity id of :db/ident, the last bootstrap t."""


class _Copy:
    """A restored database: its log, its bookkeeping attributes, and original ids by entity."""

    def __init__(self, log: list[Transaction]) -> None:
        idents = {raw: e for t in log for e, a, kind, raw, _ in t.datoms if a == IDENT and kind == "k"}
        self.bookkeeping = {e for name, e in idents.items() if str(name).startswith("asyncrestore/")}
        original = idents["asyncrestore/original-id"]
        pairs = [(e, raw) for t in log for e, a, _, raw, _ in t.datoms if a == original]
        assert len({e for e, _ in pairs}) == len(pairs) == len({raw for _, raw in pairs}), "one id an entity"
        self._originals: dict[int, int] = dict(pairs)  # type: ignore[arg-type]
        self._newest = max(entity for entity in self._originals if entity >> 42 == TX_PARTITION)

    def name(self, entity: int) -> int:
        """The source's id of an entity of the copy."""
        if entity >> 42 == TX_PARTITION and entity > self._newest:
            return entity - self._newest + self._originals[self._newest]  # a transaction that never came
        return self._originals.get(entity, entity)

    def _value(self, kind: str, raw: Any) -> Any:
        if kind == "t":
            return tuple(None if slot is None else (slot[0], self._value(*slot)) for slot in raw)
        return self.name(raw) if kind == "r" else raw

    def renamed(self, transactions: list[Transaction]) -> list[Transaction]:
        """Transactions in the source's ids."""
        return [
            Transaction.of(
                self.name(t.tx),
                [
                    (self.name(e), self.name(a), k, self._value(k, raw), added)
                    for e, a, k, raw, added in t.datoms
                ],
            )
            for t in transactions
        ]


async def _log(database: Database) -> list[Transaction]:
    _, chunk = await database.read_log(BOOTSTRAP_T + 1, await database.basis_t() + 1, size=1 << 40)
    return list(chunk.transactions())


def _counted(transactions: list[Transaction]) -> list[tuple[int, Counter[Datom]]]:
    return [(transaction.tx, Counter(transaction.datoms)) for transaction in transactions]


async def check_copy_of_copy(source: Database, copy: Database, second: Database) -> None:
    """The second copy, made of the first, has the source's history, and none of the first's bookkeeping."""
    log = await _log(second)
    first, last = _Copy(await _log(copy)), _Copy(log)
    own = [
        Transaction.of(t.tx, [datom for datom in t.datoms if datom[1] not in last.bookkeeping])
        for t in log[2:]
    ]
    as_first = last.renamed(own)
    assert not [d for t in as_first for d in t.datoms if {d[0], d[1]} & first.bookkeeping]
    assert _counted(first.renamed(as_first)) == _counted(await _log(source))
