"""What a copy records of itself: the source that it was restored from, the filter, and original ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.errors import Conflict
from asyncrestore.model.schema import (
    FILTER,
    ORIGINAL_ID,
    OWN_BOOKKEEPING,
    SOURCE,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import LogChunk, Transaction


@dataclass(frozen=True, slots=True)
class Marker:
    """How far a target is.

    Attributes:
        source_tx: source id of the last restored transaction (or of the source's last bootstrap transaction).
        target_t: the target's own t of that transaction, which is its newest.
        instant: the transaction's instant, in milliseconds since 1970.
    """

    source_tx: int
    target_t: int
    instant: int | None


def own_attributes(schema_log: LogChunk) -> dict[str, int]:
    """Returns the ids by ident of this project's bookkeeping attributes, from `Database.schema_history`."""
    return ids_with(schema_log, OWN_BOOKKEEPING)


async def ids_of(target: Database, idents: Collection[str]) -> dict[str, int]:
    """Returns the entity ids that have these idents in a target, as far as there are any."""
    return ids_with(await target.schema_history(), idents)


async def lacking_in(target: Database, base: Mapping[int, str]) -> dict[int, str]:
    """Returns what a target lacks of the source's base schema: idents by the source's entity id."""
    known = await ids_of(target, frozenset(base.values()))
    return {entity: ident for entity, ident in base.items() if ident not in known}


def ids_with(schema_log: LogChunk, idents: Collection[str]) -> dict[str, int]:
    """Returns the entity ids that have these idents, from `Database.schema_history`."""
    return {
        str(raw): e
        for _, (e, _, kind, raw, added) in schema_log.rows()
        if kind == "k" and added and raw in idents
    }


def original_ids(transaction: Transaction, attribute: int) -> dict[int, int]:
    """Returns the original ids (source ids) that a transaction of a target gives, by entity.

    Args:
        transaction: of the target.
        attribute: entity id of `ORIGINAL_ID` in the target (see `own_attributes`).
    """
    return {
        e: raw
        for e, a, _, raw, added in transaction.datoms
        if a == attribute and added and isinstance(raw, int)
    }


@dataclass(frozen=True, slots=True)
class Restored:
    """A transaction that a restore wrote.

    Attributes:
        tx: its id in the target.
        source_tx: its id in the source.
        original_ids: source id by target id, of each entity that it made, itself included.
    """

    tx: int
    source_tx: int
    original_ids: dict[int, int]


async def read_restored(target: Database, after_t: int, *, limit: int) -> list[Restored]:
    """Returns the target's transactions after a t of its own, at most `limit` of them.

    Raises:
        Conflict: one of them was not written by a restore.
    """
    found: list[Restored] = []
    start: int | None = after_t + 1
    end = await target.basis_t() + 1
    original_id = own_attributes(await target.schema_history())[ORIGINAL_ID] if end > after_t + 1 else 0
    while start is not None and start < end and len(found) < limit:
        start, chunk = await target.read_log(start, end, size=4096)
        for transaction in chunk.transactions():
            ids = original_ids(transaction, original_id)
            source_tx = ids.get(transaction.tx)
            if source_tx is None:
                raise Conflict(
                    f"Somebody else wrote to {target.uri} during the restore: t {transaction.t}",
                    hint="The target's history is no longer the source's. Restore into a new database.",
                )
            found.append(Restored(transaction.tx, source_tx, ids))
    return found[:limit]


async def recorded_source(target: Database, bootstrap_t: int) -> str | None:
    """Returns the identity of the database that the target was restored from, None if it was not restored."""
    return next(iter(await _recorded(target, bootstrap_t, SOURCE)), None)


async def recorded_filter(target: Database, bootstrap_t: int) -> list[str]:
    """Returns the rules of the `Filter` that the target was restored with."""
    return await _recorded(target, bootstrap_t, FILTER)


async def _recorded(target: Database, bootstrap_t: int, ident: str) -> list[str]:
    attribute = own_attributes(await target.schema_history()).get(ident)
    start: int | None = 0
    found: list[str] = []
    while start is not None and not found:
        start, chunk = await target.read_log(start, bootstrap_t + 1, size=4096)
        found = [str(raw) for _, (_, a, _, raw, added) in chunk.rows() if a == attribute and added]
    return found
