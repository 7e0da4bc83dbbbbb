"""Steps that write data."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.generated.model import DOC, Attr, Builder, same
from tests.generated.script import TX, Operation, Place, ident
from tests.generated.values import EDGES, shortened, value_of

if TYPE_CHECKING:
    from tests.generated.values import Value

ENTITY_PARTITIONS = [16, 17, 18, 19, 20, 21, 22, 23]
FIRST_IMPLICIT = 1 << 19
EDN_TYPES = {"string", "long", "bigdec", "keyword", "uuid", "ref"}
"""Types of the values in a step that is sent as EDN."""

BASE = ["db/ident", "db.part/user", "db.type/string", "db/doc", "db.cardinality/one"]


def _reference(b: Builder) -> Place:
    """What a reference may lead to."""
    options = ["new", "an old entity", "an old entity", "an old entity", "tx", "past", "enum", "attribute",
               "base", "never", "later"]  # fmt: skip
    if not b.model.on_pro:
        # Pro's t are sparse: how far away a later transaction is, nobody can tell (docs/restore-rules.md).
        options.append("later transaction")
    what = b.pick(options)
    place = _place(b, what)
    b.feature(f"reference to {what if place else 'new'}")
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


def _value(b: Builder, attr: Attr) -> Value:
    known = [value for _, _, value in b.model.held(lambda a: a is attr)]
    if known and b.chance(4):
        return b.pick(known)  # type: ignore[no-any-return]
    if attr.type == "ref":
        return "r", _reference(b)
    if attr.type == "tuple":
        return "t", tuple(_slot(b, slot) for slot in attr.slots)
    return b.draw(value_of(attr.type, on_pro=b.model.on_pro_only))


def _slot(b: Builder, slot: str) -> Any:
    if b.chance(4):
        b.feature("empty slot")
        return None
    if slot == "ref":
        b.feature("reference in a tuple")
        return "r", _reference(b)
    return shortened(b.draw(value_of(slot)))


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
        if e is TX and attr.unique:
            continue
        value = _value(b, attr)
        if b.add(e, attr, value) and e is TX:
            # The next transaction has the same place and is another entity.
            b.at_end.append(partial(b.model.values.pop, (e, attr), None))


def change(b: Builder) -> None:
    """A value of cardinality one becomes another; the old one's retraction is said too, or not."""
    held = b.model.held(lambda a: not a.many and not a.parts and a is not DOC)
    if not held:
        return write(b)
    twinned = [h for h in held if _twins(h[1], h[2])]
    e, attr, old = b.pick(twinned if twinned and b.chance(3) else held)
    if e in b.new:
        return None
    twins = _twins(attr, old)
    if twins:
        b.feature("change to an equal value")
    new = b.pick(twins) if twins else _value(b, attr)
    if b.chance(2):
        b.feature("change, both said")
        b.replace(e, attr, old, new)
    else:
        b.feature("change")
        b.add(e, attr, new)
    return None


def _twins(attr: Attr, old: Value) -> list[Value]:
    """Other values that an engine might take for the same.

    Of unique ones Local refuses the change; but a retraction beside it, which it drops, lets two entities
    have them: a known limit (docs/restore-rules.md).
    """
    if attr.unique:
        return []
    kind, edges = EDGES.get(attr.type, ("", []))
    return [(kind, raw) for raw in edges if raw != old[1] and same((kind, raw), old)]


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
        if e is not TX and b.pick([True, True, False]):
            b.add(e, part, _value(b, part))
            b.feature("component of a composite")
    return None


def move(b: Builder) -> None:
    """A unique value goes from one entity to another in one transaction, or two entities swap theirs."""
    held = [h for h in b.model.held(lambda a: a.unique is not None) if h[0] not in b.new]
    if not held:
        return write(b)
    e, attr, value = b.pick(held)
    others = [h for h in held if h[1] is attr and h[0] != e]
    if others and b.chance(2):
        other, _, its = b.pick(others)
        if b.settle(e, attr) and b.settle(other, attr):
            b.feature("unique values swapped")
            for place, new in ((e, its), (other, value)):
                b.step.operations.append(Operation(True, place, attr.place, *new))
                b.model.values[place, attr] = [new]
        return None
    there = list(b.entities())
    receiver = b.pick(there) if there and not b.chance(3) else b.new_entity()
    if receiver != e and not (receiver in b.new and attr.unique == "identity") and b.retract(e, attr, value):
        old = b.model.values.get((receiver, attr))
        if b.add(receiver, attr, value):
            b.feature("unique value moved" + (" to a new entity" if receiver in b.new else ""))
            b.feature("unique value moved onto another" if old else "unique value moved")
    return None


def upsert(b: Builder) -> None:
    """A tempid that an identity leads to an entity which is there."""
    held = [h for h in b.model.held(lambda a: a.unique == "identity") if h[0] not in b.new]
    if not held:
        return write(b)
    e, attr, value = b.pick(held)
    tempid = Place("upsert", b.model.number())
    if b.settle(e, attr):
        b.feature("upsert")
        b.step.operations.append(Operation(True, tempid, attr.place, *value))
        other = b.pick(b.model.writable())
        b.add(e, other, _value(b, other), at=tempid)
    return None


def erase(b: Builder) -> None:
    """An entity is retracted with its components and what refers to it; another may get its unique value."""
    entities = list(b.entities())
    if not entities or b.step.operations:
        return write(b)
    e = b.pick(entities)
    components = [h for h in b.model.held(lambda a: a.component) if h[0] == e]
    if not all(whole.what == "entity" for whole in b.model.with_components(e)):
        return write(b)  # a transaction cannot be retracted, nor an attribute
    unique = [h for h in b.model.held(lambda a: a.unique is not None) if h[0] == e and h[2][0] in "lmkus"]
    b.feature("entity retracted", *(["entity retracted with a component"] if components else []))
    b.step.erased.append(e)
    for _, attr, value in unique:
        b.release(e, attr, value)
    b.model.erase(e)
    for _, attr, value in unique[:1]:
        receiver = b.new_entity() if b.chance(2) else b.pick(entities)
        if receiver != e and b.add(receiver, attr, value):
            b.feature("unique value of a retracted entity")
    return None


def in_partitions(b: Builder) -> None:
    """New entities, each in a named or an implicit partition.

    Not in that of attributes: there Pro gives the id of an entity without an ident away again.
    """
    if b.step.operations:
        return write(b)
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
            if attr is not DOC and attr.type in EDN_TYPES and b.chance(3):
                b.add(e, attr, _value(b, attr))
    return None


def empty(b: Builder) -> None:
    """Nothing."""
    if not b.step.operations and not b.step.erased:
        b.feature("empty transaction")
