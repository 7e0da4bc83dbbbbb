"""Where a database's own history begins: after what it was born with, and what a restore put there.

Bootstrap transactions stand at the head of the log, dated at the Unix epoch itself or not at all, and hold
nothing but base schema. A user may date a transaction at the epoch too, so the date alone does not tell.
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
        bootstrap_t: the t before it: of the last bootstrap transaction, or above that.
        first: the first transaction of the history, None while there is none.
        head: the transactions before it.
    """

    bootstrap_t: int
    first: Transaction | None
    head: list[Transaction]

    def identity_of(self, name: str) -> str:
        """For a database that only its name tells apart: the name and a digest of its first transaction."""
        return f"{name}@{hashlib.sha256(repr(self.first).encode()).hexdigest()[:16]}"


async def beginning_until(database: Database, basis: int, schema_log: LogChunk) -> Beginning:
    """Finds where a database's own history begins, which ends at t `basis`.

    Args:
        database: whose log is read.
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
    """When each entity got which ident: (transaction, ident)."""
    rows = list(schema_log.rows())
    # None in a database whose making was interrupted at its very start.
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

    told_something = False
    for e, a, kind, raw, _ in transaction.datoms:
        if e != tx:
            if not reserved(e):
                return False
            told_something = True
        elif kind == "i":
            if raw != 0:
                return False
        elif not any(name.startswith("asyncrestore/") for _, name in idents.get(a, ())):
            return False
        else:
            told_something = True
    return told_something
