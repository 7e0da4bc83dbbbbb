"""Transactions to commit, in columns for the pipe. The other end is `jvm/asyncrestore/transactions.clj`."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from asyncrestore.datomic.frames import pack
from asyncrestore.model.positions import IDENTS, ident_name

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
            (len(transaction.adds) // 4, len(transaction.retracts) // 4, 0 if transaction.cas is None else 1)
        )
        flat += transaction.adds
        flat += transaction.retracts
        swaps.extend(transaction.cas or ())
    entities, attributes, kinds, raws = flat[0::4], flat[1::4], flat[2::4], flat[3::4]
    numbers = [raw if raw.__class__ is int else 0 for raw in raws]
    texts = [raw for raw in raws if raw.__class__ is not int]
    referred = [raw for kind, raw in zip(kinds, raws, strict=True) if kind == "r"]
    for kind, raw in zip(kinds, raws, strict=True) if "t" in kinds else ():
        if kind == "t":
            referred += (slot[1] for slot in raw if slot is not None and slot[0] == "r")
    occurring = {*entities, *attributes, *swaps[0::3], *swaps[1::3], *referred}
    idents = {position: ident_name(position) for position in occurring if position in IDENTS}
    return (
        pack(sizes), pack(entities), pack(attributes), "".join(kinds), pack(numbers), texts, pack(swaps),
        idents,
    )  # fmt: skip
