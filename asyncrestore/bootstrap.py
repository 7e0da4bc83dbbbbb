"""Finds where a database's own history begins: after its bootstrap and the bookkeeping of a restore.

Bootstrap transactions are at the head of the log, dated at the Unix epoch itself or not at all, and hold
nothing but base schema. A user may date a transaction at the epoch too, so the date alone does not decide.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.model import LogChunk, Transaction

_RESERVED = ("db", "fressian", "asyncrestore")
_HEAD_DATOMS = 4096


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a database's own history begins.

    Attributes:
        bootstrap_t: the t just before the history: that of the last bootstrap transaction, or a larger one.
        first: the first transaction of the history, None while there is none.
        head: the transactions before the history.
    """

    bootstrap_t: int
    first: Transaction | None
    head: list[Transaction]

    def identity_of(self, name: str) -> str:
        """Returns the name with a digest of the first transaction, where there is no other identity."""
        return f"{name}@{hashlib.sha256(repr(self.first).encode()).hexdigest()[:16]}"


async def beginning_until(database: Database, basis: int, schema_log: LogChunk) -> Beginning:
    """Finds where a database's own history begins, reading its log up to and including t `basis`.

    Args:
        database: the database whose log is read.
        basis: its basis t at some moment.
        schema_log: its `schema_history`, read after that moment.
    """
    idents = _idents(schema_log)
    head: list[Transaction] = []
    start: int | None = 0
    while start is not None:
        start, chunk = await database.read_log(start, basis + 1, size=_HEAD_DATOMS)
        for transaction in chunk.transactions():
            if not _is_bootstrap(transaction, idents):
                return Beginning(transaction.t - 1, transaction, head)
            head.append(transaction)
    return Beginning(basis, None, head)


def _idents(schema_log: LogChunk) -> dict[int, list[tuple[int, str]]]:
    """Returns the idents that each entity got, each with its transaction: (transaction, ident)."""
    rows = list(schema_log.rows())
    # There is none in a database whose creation was interrupted at its very start.
    ident = next((a for _, (e, a, _, raw, _) in rows if e == a and raw == "db/ident"), None)
    idents: dict[int, list[tuple[int, str]]] = {}
    for tx, (e, a, _, raw, added) in rows:
        if a == ident and added:
            idents.setdefault(e, []).append((tx, str(raw)))
    return idents


def _is_bootstrap(transaction: Transaction, idents: dict[int, list[tuple[int, str]]]) -> bool:
    tx = transaction.tx

    def reserved(entity: int) -> bool:
        names = [name for when, name in idents.get(entity, ()) if when <= tx]
        namespaces = [name.rpartition("/")[0] for name in names]
        return bool(names) and all(space.split(".")[0] in _RESERVED for space in namespaces)

    has_base_datoms = False
    for e, a, kind, raw, _ in transaction.datoms:
        if e != tx:
            if not reserved(e):
                return False
            has_base_datoms = True
        elif kind == "i":
            if raw != 0:
                return False
        elif not any(name.startswith("asyncrestore/") for _, name in idents.get(a, ())):
            return False
        else:
            has_base_datoms = True
    return has_base_datoms
