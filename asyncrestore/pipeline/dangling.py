"""References to entities that never had datoms: only the target can say that it does not know one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncrestore.model.commit import operations
from asyncrestore.model.ids import ENTITY_COUNTER, counter_of
from asyncrestore.model.positions import TX, ident, lookup, tempid
from asyncrestore.model.schema import ORIGINAL_ID, PLACEHOLDER
from asyncrestore.model.values import LONG, REF, TUPLE

if TYPE_CHECKING:
    from asyncrestore.model.commit import TxData


def with_entity_made(transaction: TxData, entity: int) -> TxData | None:
    """Returns the transaction changed so that it makes an entity that the target does not know.

    That is one that never had datoms. If the entity is there after all, the tempid with the original id finds
    it, because the original id is a unique identity.

    Args:
        transaction: refers to the entity by a lookup ref.
        entity: its source id.

    Returns:
        The changed transaction, None if the transaction does not refer to that entity.
    """
    old, new = lookup(entity), tempid(entity)
    adds, retracts = _renamed(transaction.adds, old, new), _renamed(transaction.retracts, old, new)
    if (adds, retracts) == (transaction.adds, transaction.retracts):
        return None
    adds += (new, ident(ORIGINAL_ID), LONG, entity)
    if transaction.source is not None and any(
        kind == REF and raw == entity and counter_of(e) != ENTITY_COUNTER
        for e, _, kind, raw, _ in transaction.source.datoms
    ):
        # Another owner, the last, keeps it out of the partitions of attributes and transactions.
        adds += (TX, ident(PLACEHOLDER), REF, new)
    return replace(transaction, adds=adds, retracts=retracts)


def _renamed(flat: list[Any], old: int, new: int) -> list[Any]:
    """Returns operations with one position replaced, only where it is entity, attribute or reference."""
    renamed: list[Any] = []
    for e, a, kind, raw in operations(flat):
        renamed += (new if e == old else e, new if a == old else a, kind, _reference(kind, raw, old, new))
    return renamed


def _reference(kind: str, raw: Any, old: int, new: int) -> Any:
    """Returns a raw value with one position replaced where it is a reference."""
    if kind == REF:
        return new if raw == old else raw
    if kind == TUPLE:
        return tuple(
            None if slot is None else (slot[0], _reference(slot[0], slot[1], old, new)) for slot in raw
        )
    return raw
