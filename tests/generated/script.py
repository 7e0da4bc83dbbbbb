"""A script: transactions with symbols in place of the ids that an engine assigns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Place:
    """Whatever may stand for an entity.

    Attributes:
        what: ``entity`` and ``attribute`` are known by a number of the script's own, and made where they
            first occur; ``upsert`` is a tempid that an identity leads to an entity that is there; ``tx`` is
            the transaction itself, ``past`` an earlier one, by step; ``ident`` has a name; ``raw`` is an
            entity id; ``later`` and ``later-tx`` are ids of what does not exist yet, so many after
            the newest.
        number: which one.
        name: of an ident.
    """

    what: str
    number: int = 0
    name: str = ""


TX = Place("tx")


def ident(name: str) -> Place:
    """An entity by its ident."""
    return Place("ident", name=name)


@dataclass(frozen=True, slots=True)
class Operation:
    """An assertion or retraction; references in `raw` are places."""

    added: bool
    e: Place
    a: Place
    kind: str
    raw: Any

    def places(self) -> Iterable[Place]:
        """All places in it."""
        slots = self.raw if self.kind == "t" else ((self.kind, self.raw),)
        return (self.e, self.a, *(slot[1] for slot in slots if slot is not None and slot[0] == "r"))


@dataclass(slots=True)
class Step:
    """One transaction of a script.

    Attributes:
        operations: assertions and retractions.
        erased: entities retracted whole, with their components.
        partitions: new entities by the partition that they are put into, its entity or its first id; only
            Pro's peer can do that, so other sources take no notice of it.
        instant: in milliseconds since 1970; None leaves it to the engine.
        features: the kinds of history that it shows.
    """

    operations: list[Operation] = field(default_factory=list)
    erased: list[Place] = field(default_factory=list)
    partitions: dict[Place, Place] = field(default_factory=dict)
    instant: int | None = None
    features: set[str] = field(default_factory=set)
