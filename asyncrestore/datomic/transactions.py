"""Transactions to commit, in columns for the pipe. The other end is `jvm/asyncrestore/transactions.clj`."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from asyncrestore.datomic.frames import pack
from asyncrestore.model.commit import ATTRIBUTES, ENTITIES, KINDS, RAWS, STRIDE
from asyncrestore.model.positions import IDENTS, ident_name
from asyncrestore.model.values import REF, TUPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.model.commit import TxData


def batch_columns(batch: Sequence[TxData]) -> tuple[Any, ...]:
    """Returns a batch as columns of all its operations, a transaction's assertions before its retractions.

    Returns:
        Per transaction, packed: how many assertions, retractions and swaps (0 or 1). Per operation: entities,
        attributes, kinds, numbers (0 where the kind has a text), and the texts in order. Per swap, packed:
        entity, attribute, new value. The names of the idents that occur, by position.
    """
    sizes = array("q")
    flat: list[Any] = []
    swaps = array("q")
    for transaction in batch:
        sizes.extend(
            (
                len(transaction.adds) // STRIDE,
                len(transaction.retracts) // STRIDE,
                0 if transaction.cas is None else 1,
            )
        )
        flat += transaction.adds
        flat += transaction.retracts
        swaps.extend(transaction.cas or ())
    entities, attributes, kinds, raws = flat[ENTITIES], flat[ATTRIBUTES], flat[KINDS], flat[RAWS]
    numbers = [raw if raw.__class__ is int else 0 for raw in raws]
    texts = [raw for raw in raws if raw.__class__ is not int]
    referred = [raw for kind, raw in zip(kinds, raws, strict=True) if kind == REF]
    for kind, raw in zip(kinds, raws, strict=True) if TUPLE in kinds else ():
        if kind == TUPLE:
            referred += (slot[1] for slot in raw if slot is not None and slot[0] == REF)
    occurring = {*entities, *attributes, *swaps[0::3], *swaps[1::3], *referred}
    idents = {position: ident_name(position) for position in occurring if position in IDENTS}
    return (
        pack(sizes), pack(entities), pack(attributes), "".join(kinds), pack(numbers), texts, pack(swaps),
        idents,
    )  # fmt: skip
