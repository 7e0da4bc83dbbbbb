"""Differences between two histories, in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncrestore.model.values import to_python

if TYPE_CHECKING:
    from asyncrestore.model.log import Datom
    from asyncrestore.model.schema import Schema


@dataclass(slots=True)
class Differences:
    """The differences that were found.

    Attributes:
        limit: how many are kept in words.
        first: the first few, in words.
        count: how many there are in all.
    """

    limit: int
    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        """Counts a difference, and keeps its text while there are fewer than `limit`."""
        self.count += 1
        if len(self.first) < self.limit:
            self.first.append(text)

    def merge(self, other: Differences) -> None:
        """Adds the differences of `other` behind these."""
        self.count += other.count
        self.first += other.first[: self.limit - len(self.first)]


def words(datom: Datom, schema: Schema) -> str:
    """Returns a datom for messages.

    Args:
        datom: a negative entity id is the target's own, of an entity that the source lacks.
        schema: of the source, names the attribute.
    """
    e, a, kind, raw, added = datom
    attribute = schema.attributes.get(a)
    name = f":{attribute.ident}" if attribute and attribute.ident else f"attribute {a}"
    entity = f"entity {e}" if e >= 0 else f"the target's own entity {-e}"
    return f"{'+' if added else '-'} {entity} {name} {_readable(kind, raw)!r}"


def _readable(kind: str, raw: Any) -> Any:
    """Returns a value for messages; a reference to an entity that the source lacks is in words already."""
    if isinstance(raw, tuple):
        return tuple(None if slot is None else _readable(*slot) for slot in raw)
    return raw if isinstance(raw, str) else to_python(kind, raw)
