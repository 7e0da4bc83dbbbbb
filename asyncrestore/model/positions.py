"""Positions in data to commit: anything that may stand for an entity, as one integer.

Where Datomic takes an entity (entity, attribute, value of a reference, slot of a tuple) it takes an entity
id, a tempid, an ident or a lookup ref. One integer says which of these, so that transactions travel in packed
columns:

    0 to 2**62 - 1         an entity id (an id has 62 bits)
    2**62 + n              the tempid n
    -1 - n                 the lookup ref [:asyncrestore/original-id n]
    -2**63                 the transaction itself ("datomic.tx")
    -2**63 + 1 + i         the ident with number i

The other end is `jvm/asyncrestore/transactions.clj`.
"""

from __future__ import annotations

TX = -(1 << 63)
_TEMPID = 1 << 62
IDENTS = range(TX + 1, TX + 1 + (1 << 32))
"""The positions that are idents."""

_names: list[str] = []
_numbers: dict[str, int] = {}


def tempid(number: int) -> int:
    """Returns the position of the tempid with that number."""
    return _TEMPID + number


def is_tempid(position: int) -> bool:
    """Returns whether the position is a tempid."""
    return position >= _TEMPID


def number(tempid_: int) -> int:
    """Returns the number of a tempid."""
    return tempid_ - _TEMPID


def lookup(original_id: int) -> int:
    """Returns the position of the lookup ref of an entity by its original id."""
    return ~original_id


def original_id(position: int) -> int:
    """Returns the original id in a lookup ref."""
    return ~position


def ident(name: str) -> int:
    """Returns the position of an ident, given without its colon."""
    number = _numbers.get(name)
    if number is None:
        number = _numbers[name] = len(_names)
        _names.append(name)
    return IDENTS[number]


def ident_name(position: int) -> str:
    """Returns the name of the ident at a position, without its colon."""
    return _names[position - IDENTS.start]
