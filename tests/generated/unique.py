"""Steps about unique values: they move between entities, swap, and are what an entity is known by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.generated.data import value_for, write
from tests.generated.script import TX, Operation, Place
from tests.generated.values import is_readable

if TYPE_CHECKING:
    from tests.generated.model import Attr, Builder
    from tests.generated.values import Value


def _held(b: Builder, *, identity: bool = False) -> list[tuple[Place, Attr, Value]]:
    """Unique values of entities that are there before this transaction."""
    kinds = {"identity"} if identity else {"identity", "value"}
    return [h for h in b.model.held(lambda a: a.unique in kinds) if h[0] not in b.new]


def _among(attr: Attr) -> str:
    return "one of several unique values" if attr.many else "unique value"


def several(b: Builder) -> None:
    """An entity gets several values of an attribute, each of which only it may have."""
    attrs = [attr for attr in b.model.writable() if attr.unique and attr.many]
    if not attrs:
        return write(b)
    attr = b.pick(attrs)
    there = list(b.entities())
    e = b.pick(there) if there and not b.chance(3) else b.new_entity()
    if sum([b.add(e, attr, value_for(b, e, attr)) for _ in range(b.pick([2, 2, 3, 4]))]) > 1:
        b.feature("several unique values")
    return None


def move(b: Builder) -> None:
    """A unique value goes from one entity to another in one transaction."""
    held = _held(b)
    if not held:
        return write(b)
    e, attr, value = b.pick(held)
    there = list(b.entities())
    receiver = b.pick(there) if there and not b.chance(3) else b.new_entity()
    if receiver != e and not (receiver in b.new and attr.unique == "identity") and b.retract(e, attr, value):
        onto = b.model.values.get((receiver, attr)) and not attr.many
        if b.add(receiver, attr, value):
            moved = f"{_among(attr)} moved"
            b.feature(moved, *([f"{moved} to a new entity"] if receiver in b.new else []))
            b.feature(*(["unique value moved onto another"] if onto else []))
            b.feature(*(["unique reference moved"] if value[0] == "r" else []))
    return None


def swap(b: Builder) -> None:
    """Two entities swap unique values, or three pass them on in a circle."""
    held = _held(b)
    if not held:
        return write(b)
    _, attr, _ = b.pick(held)
    its = {e: value for e, a, value in held if a is attr}  # one value each
    wanted = b.pick([2, 2, 3])
    if len(its) < wanted:
        return move(b)
    givers: list[Place] = []
    while len(givers) < wanted:
        givers.append(b.pick([e for e in its if e not in givers]))
    if b.exchange(attr, [(e, its[e]) for e in givers]):
        swapped = "swapped" if wanted == 2 else "passed on in a circle"
        b.feature(f"{_among(attr)} {swapped}")
        b.feature(*(["unique references swapped"] if attr.type == "ref" else []))
    return None


def upsert(b: Builder) -> None:
    """A tempid that an identity leads to an entity which is there; of several values one or more do."""
    held = _held(b, identity=True)
    if not held:
        return write(b)
    e, attr, value = b.pick(held)
    tempid = Place("upsert", b.model.number())
    if not b.settle(*b.place(e, attr, value)):
        return None
    b.feature("upsert", *(["upsert of a transaction"] if e.what == "past" else []))
    b.feature(*(["upsert by a reference"] if value[0] == "r" else []))
    b.step.operations.append(Operation(True, tempid, attr.place, *value))
    if attr.many:
        b.feature("upsert by one of several values")
        others = [v for v in b.model.values[e, attr] if v != value]
        if others and b.chance(2) and b.settle(*b.place(e, attr, others[0])):
            b.step.operations.append(Operation(True, tempid, attr.place, *others[0]))
            b.feature("upsert by two values")
        if b.chance(2) and b.add(e, attr, value_for(b, e, attr), at=tempid):
            b.feature("upsert that adds an identity")
    other = b.pick(b.model.writable())
    b.add(e, other, value_for(b, e, other), at=tempid)
    return None


def as_transaction(b: Builder) -> None:
    """The transaction's own tempid is led to an entity that is there, as by the id of a request sent twice.

    The whole step: whatever else it says of the transaction would be of that entity, also an instant.
    """
    held = _held(b, identity=True)
    if not held or b.step.operations or not b.by_clock:
        return write(b)
    e, attr, value = b.pick(held)
    b.step.operations.append(Operation(True, TX, attr.place, *value))
    other = b.pick([a for a in b.model.writable() if a.type not in {"ref", "tuple"}])
    if other is not attr:
        b.add(e, other, value_for(b, e, other), at=TX)
    b.feature("upsert in the transaction's name")
    b.complete = True
    return None


def circle(b: Builder) -> None:
    """Unique references lead from one to the next, and back to the first; or from an entity to itself."""
    attrs = [attr for attr in b.model.writable() if attr.unique and attr.type == "ref"]
    if not attrs:
        return write(b)
    attr, there = b.pick(attrs), list(b.entities())
    wanted = b.pick([1, 2, 3])
    chain: list[Place] = []
    while len(chain) < wanted:
        e = b.pick(there) if there and not b.chance(3) else b.new_entity()
        if e not in chain:
            chain.append(e)
    made = [b.add(e, attr, ("r", to)) for e, to in zip(chain, [*chain[1:], chain[0]], strict=True)]
    if all(made):
        b.feature("unique reference to itself" if wanted == 1 else "unique references in a circle")
    return None


def erase(b: Builder) -> None:
    """An entity is retracted with its components and what refers to it; another may get its unique value."""
    entities = list(b.entities())
    if not entities or b.step.operations:
        return write(b)
    e = b.pick(entities)
    gone = b.model.with_components(e)
    if not all(whole.what == "entity" for whole in gone):
        return write(b)  # a transaction cannot be retracted, nor an attribute
    unique = [h for h in _held(b) if h[0] == e and is_readable(h[2])]
    b.feature("entity retracted", *(["entity retracted with a component"] if len(gone) > 1 else []))
    b.step.erased.append(e)
    b.complete = True  # it goes as EDN, which not every value can be written in
    b.erase(e)
    for _, attr, value in unique[:1]:
        receiver = b.new_entity() if b.chance(2) else b.pick(entities)
        if receiver not in gone and b.add(receiver, attr, value):
            b.feature("unique value of a retracted entity")
    return None
