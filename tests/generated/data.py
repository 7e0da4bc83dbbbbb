"""Steps that write data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.generated.model import DOC, Attr, Builder, same
from tests.generated.script import TX, Operation, Place, ident
from tests.generated.values import EDGES, is_readable, shortened, value_of

if TYPE_CHECKING:
    from tests.generated.values import Value

ENTITY_PARTITIONS = [16, 17, 18, 19, 20, 21, 22, 23]
FIRST_IMPLICIT = 1 << 19

BASE = ["db/ident", "db.part/user", "db.type/string", "db/doc", "db.cardinality/one"]


def _reference(b: Builder, e: Place, *, unique: bool = False) -> Place:
    """What a reference of an entity may lead to."""
    options = ["new", "an old entity", "an old entity", "an old entity", "itself", "tx", "past", "enum",
               "attribute", "base", "never", "later"]  # fmt: skip
    if not b.model.on_pro:
        # Pro's t are sparse: how far away a later transaction is, nobody can tell (docs/restore-rules.md).
        options.append("later transaction")
    what = b.pick(options)
    place = e if what == "itself" else _place(b, what)
    b.feature(f"{'unique ' * unique}reference to {what if place else 'new'}")
    return place or b.new_entity()


def _place(b: Builder, what: str) -> Place | None:
    """A place of some sort, or None if no such place exists yet."""
    model = b.model
    candidates: dict[str, list[Place]] = {
        "an old entity": list(b.entities()),
        "enum": model.enums,
        "attribute": [attr.place for attr in model.attrs],
        "base": [ident(name) for name in BASE],
        "tx": [TX],
        "past": [Place("past", step) for step in range(model.steps)],
    }
    if what in candidates:
        return b.pick(candidates[what]) if candidates[what] else None
    if what == "never":
        # An attribute still to come is a known limit (docs/restore-rules.md): in its partition only far away.
        far = st.integers(10**6, 2**42 - 1)
        partition = b.pick([*ENTITY_PARTITIONS, 0, 4, 4715])
        index = b.draw(st.one_of(st.integers(60, 140), far) if partition else far)
        return Place("raw", partition << 42 | index)
    if what == "later":
        return Place("later", b.draw(st.integers(1, 12)))
    if what == "later transaction":
        return Place("later-tx", b.draw(st.integers(2, 30)))  # 1 is the transaction itself, which is "tx"
    return None


def value_for(b: Builder, e: Place, attr: Attr) -> Value:
    """A value of an attribute for an entity; it may be one that the entity has."""
    known = [value for _, _, value in b.model.held(lambda a: a is attr)]
    if known and b.chance(4):
        return b.pick(known)  # type: ignore[no-any-return]
    if attr.type == "ref":
        return "r", _reference(b, e, unique=attr.unique is not None)
    if attr.type == "tuple":
        return "t", tuple(_slot(b, e, slot) for slot in attr.slots)
    return b.model.kept(b.draw(value_of(attr.type, on_pro=b.model.on_pro_only)))


def _slot(b: Builder, e: Place, slot: str) -> Any:
    if b.chance(4):
        b.feature("empty slot")
        return None
    if slot == "ref":
        b.feature("reference in a tuple")
        return "r", _reference(b, e)
    return shortened(b.model.kept(b.draw(value_of(slot))))


_SHOWN = {
    "attribute": "attribute on an attribute",
    "tx": "metadata on the transaction",
    "past": "metadata on an earlier transaction",
}


def _entity(b: Builder) -> Place:
    """What to write about."""
    old = ["an old entity"] * 4
    what = b.pick(["new", "new", *old, "attribute", "enum", "tx", "past"])
    place = _place(b, what)
    if place and what in _SHOWN:
        b.feature(_SHOWN[what])
    return place or b.new_entity()


def write(b: Builder) -> None:
    """Assertions about entities new and old."""
    for _ in range(b.pick([1, 2, 3, 4])):
        e, attr = _entity(b), b.pick(b.model.writable())
        if b.add(e, attr, value_for(b, e, attr)) and e is TX and attr.unique:
            b.feature("unique value of a transaction")


def change(b: Builder) -> None:
    """A value of cardinality one becomes another; the old one's retraction is said too, or not."""
    held = b.model.held(lambda a: not a.many and not a.parts and a is not DOC)
    if not held:
        return write(b)
    twinned = [h for h in held if _twins(b, h[1], h[2])]
    e, attr, old = b.pick(twinned if twinned and b.chance(3) else held)
    if e in b.new:
        return None
    twins = _twins(b, attr, old)
    if twins:
        b.feature("change to an equal value")
    new = b.pick(twins) if twins else value_for(b, e, attr)
    if b.chance(2):
        b.feature("change, both said")
        b.replace(e, attr, old, new)
    else:
        b.feature("change")
        b.add(e, attr, new)
    return None


def _twins(b: Builder, attr: Attr, old: Value) -> list[Value]:
    """Other values that an engine might take for the same.

    Of unique ones Local refuses the change; but a retraction beside it, which it drops, lets two entities
    have them: a known limit (docs/restore-rules.md).
    """
    if attr.unique:
        return []
    kind, edges = EDGES.get(attr.type, ("", []))
    others = [(kind, raw) for raw in edges if raw != old[1] and same((kind, raw), old)]
    return [other for other in others if b.model.kept(other) == other]


def retract(b: Builder) -> None:
    """Some values go."""
    for _ in range(b.pick([1, 2])):
        held = [h for h in b.model.held(lambda a: not a.parts) if h[0] not in b.new]
        if held:
            b.feature("retraction")
            b.retract(*b.pick(held))


def again(b: Builder) -> None:
    """What is there is asserted again: that leaves nothing in the log, unless a composite was newer."""
    parts = [part for composite in b.model.composites() for part in composite.parts]
    held = [h for h in b.model.held(lambda a: a in parts) if h[0] not in b.new]
    for _ in range(b.pick([1, 1, 2])):
        if held:
            e, attr, value = b.pick(held)
            if not b.model.is_ambiguous(e, attr) and b.settle(e, attr.place.name or attr):
                b.step.operations.append(Operation(True, e, attr.place, *value))
                b.feature("component asserted again")
    if b.chance(2):
        change(b)


def compose(b: Builder) -> None:
    """Components of a composite are written, some or all."""
    composites = b.model.composites()
    if not composites:
        return write(b)
    e = _entity(b)
    for part in b.pick(composites).parts:
        if b.pick([True, True, False]):
            b.add(e, part, value_for(b, e, part))
            b.feature("component of a composite")
    return None


def in_partitions(b: Builder) -> None:
    """New entities, each in a named or an implicit partition.

    Not in that of attributes: there Pro gives the id of an entity without an ident away again.
    """
    if b.step.operations:
        return write(b)
    b.complete = True
    for _ in range(b.pick([1, 2, 3])):
        e = b.new_entity()
        if b.model.partitions and not b.chance(3):
            b.step.partitions[e] = b.pick(b.model.partitions)
            b.feature("entity in a named partition")
        else:
            number = FIRST_IMPLICIT + b.pick([0, 1, 7, FIRST_IMPLICIT - 1])
            b.step.partitions[e] = Place("raw", number << 42)
            b.feature("entity in an implicit partition")
        for attr in b.model.writable():
            if attr is not DOC and b.chance(3):
                value = value_for(b, e, attr)
                if is_readable(value):
                    b.add(e, attr, value)
    return None


def empty(b: Builder) -> None:
    """Nothing."""
    if not b.step.operations and not b.step.erased:
        b.feature("empty transaction")
