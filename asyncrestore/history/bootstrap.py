"""Finds where a database's own history begins: after its bootstrap and the bookkeeping of a restore.

Bootstrap transactions are at the head of the log, dated at the Unix epoch itself or not at all, and hold
nothing but base schema. A user may date a transaction at the epoch too, so the date alone does not decide.

Here is also what a database is known by where its engine has no id for it: a durable database of Datomic
Local has nothing but its name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.model.schema import COPY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import LogChunk, Transaction

ROLLED_BACK = "The database was rolled back to an earlier state, or deleted and made again."
MADE_AGAIN = "A database that was deleted and made or restored again is another one."
"""What may have happened, for hints."""

_RESERVED = ("db", "fressian", "asyncrestore")
_HEAD_DATOMS = 4096
_NAMED = re.compile(r".*@([0-9a-f]{16}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a database's own history begins.

    Attributes:
        bootstrap_t: the t just before the history: that of the last bootstrap transaction, or a larger one.
        first: the first transaction of the history, None while there is none.
        head: the transactions before the history.
        copy: the UUID that the restore which made this database gave it, None if none did.
    """

    bootstrap_t: int
    first: Transaction | None
    head: list[Transaction]
    copy: str | None = None

    def identity_of(self, name: str) -> str:
        """Returns what a database is known by where its engine has no id for it.

        That is its name, with the UUID that a restore gave it or else with a digest of its first transaction.
        """
        return f"{name}@{self.copy or hashlib.sha256(repr(self.first).encode()).hexdigest()[:16]}"


def has_engines_id(identity: str) -> bool:
    """Returns whether an identity is the engine's id, and not one of `Beginning.identity_of`.

    An engine's id never leads to another database. One of the others may: of a digest there are as many
    databases as were made in the same way, and a directory with a database in it can be copied or put back.
    """
    return _NAMED.fullmatch(identity) is None


def recorded(head: Iterable[Transaction], attribute: int | None) -> list[str]:
    """Returns what the restore that made a database recorded in it under a bookkeeping attribute.

    Args:
        head: the transactions before the database's own history.
        attribute: entity id of the bookkeeping attribute, None if the database does not have it.
    """
    return [
        str(raw)
        for transaction in head
        for _, a, _, raw, added in transaction.datoms
        if a == attribute and added
    ]


async def beginning_until(database: Database, basis: int, schema_log: LogChunk) -> Beginning:
    """Finds where a database's own history begins, reading its log up to and including t `basis`.

    Args:
        database: the database whose log is read.
        basis: its basis t at some moment.
        schema_log: its `schema_history`, read after that moment.
    """
    idents = _idents(schema_log)
    copies = [entity for entity, names in idents.items() if any(name == COPY for _, name in names)]
    head: list[Transaction] = []
    start: int | None = 0
    while start is not None:
        start, chunk = await database.read_log(start, basis + 1, size=_HEAD_DATOMS)
        for transaction in chunk.transactions():
            if not _is_bootstrap(transaction, idents):
                return Beginning(transaction.t - 1, transaction, head, _copy(head, copies))
            head.append(transaction)
    return Beginning(basis, None, head, _copy(head, copies))


def _copy(head: list[Transaction], attributes: list[int]) -> str | None:
    return next((uuid for attribute in attributes for uuid in recorded(head, attribute)), None)


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
