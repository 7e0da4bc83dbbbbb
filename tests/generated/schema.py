"""Steps that make and change attributes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from tests.generated.model import Attr, Builder, same
from tests.generated.script import Operation, Place, ident
from tests.generated.values import SLOT_TYPES, TYPES
from tests.strategies import texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.generated.values import Value

UNIQUE = ["identity", "value"]


def _cardinality(many: bool) -> Place:
    return ident(f"db.cardinality/{'many' if many else 'one'}")


def install(b: Builder, type_: str, *, name: str | None = None, **flags: object) -> Attr:
    """Makes an attribute, to be used from the next transaction on."""
    number = b.model.number()
    attr = Attr(Place("attribute", number), name or _new_name(b, f"a{number}"), type_)
    attr = replace(attr, **flags)  # type: ignore[arg-type]
    assert attr.name is not None
    if b.model.with_indexes and not attr.parts and b.chance(2):
        attr.indexed = True
        b.fact(attr.place, "db/index", "b", 1)
        b.feature("index")
    place = attr.place
    b.fact(place, "db/ident", "k", attr.name)
    b.fact(place, "db/valueType", "r", ident(f"db.type/{type_}"))
    b.fact(place, "db/cardinality", "r", _cardinality(attr.many))
    if attr.unique:
        b.fact(place, "db/unique", "r", ident(f"db.unique/{attr.unique}"))
    if attr.component:
        b.fact(place, "db/isComponent", "b", 1)
    if attr.parts:
        b.fact(place, "db/tupleAttrs", "t", tuple(("k", part.name) for part in attr.parts))
    elif len(set(attr.slots)) == 1 and not b.chance(3):
        b.fact(place, "db/tupleType", "k", f"db.type/{attr.slots[0]}")
        b.feature("homogeneous tuple")
    elif attr.slots:
        b.fact(place, "db/tupleTypes", "t", tuple(("k", f"db.type/{slot}") for slot in attr.slots))
        b.feature("heterogeneous tuple")
    if b.chance(4):
        b.fact(place, "db/doc", "s", b.draw(texts))
    if b.chance(6) and not attr.parts:
        b.fact(place, "db/noHistory", "b", 1)
        b.feature("noHistory")
    b.at_end.append(lambda: b.model.attrs.append(attr))
    return attr


def _new_name(b: Builder, name: str) -> str:
    """A name of a keyword that no other has, at times one whose namespace or name is blank."""
    if not b.chance(8):
        return f"g/{name}"
    b.feature("ident with a blank part")
    if b.model.blank_names and b.chance(3):
        return b.model.blank_names.pop()
    return b.pick([f"{name}/", f"/{name}"])  # type: ignore[no-any-return]


def _types(b: Builder) -> list[str]:
    return [*TYPES, "bytes", "bytes"] if b.model.on_pro_only else TYPES


def start(b: Builder) -> None:
    """The first schema: what most other steps need."""
    install(b, b.pick(["string", "long", "keyword", "uuid"]), unique="identity")
    install(b, b.pick(["long", "bigdec", "uri", "instant", "symbol"]), unique="value")
    install(b, b.pick(["string", "long", "keyword", "uuid"]), many=True, unique=b.pick(UNIQUE))
    install(b, "ref", many=b.chance(2), unique=b.pick(UNIQUE))
    install(b, "ref", many=True)
    install(b, "ref")
    _component(b, many=b.chance(2), unique=b.pick(UNIQUE) if b.chance(4) else None)
    install(b, b.pick(_types(b)), many=True)
    for _ in range(3):
        install(b, b.pick(_types(b)))


def _component(b: Builder, *, many: bool, unique: str | None) -> None:
    install(b, "ref", many=many, unique=unique, component=True)
    if unique:
        b.feature("unique component")


def attributes(b: Builder) -> None:
    """More attributes."""
    for _ in range(b.pick([1, 2])):
        type_ = b.pick([*_types(b), "ref", "ref"])
        many = b.chance(3)
        unique = None
        if type_ not in {"boolean", "bytes"} and b.chance(3):
            unique = b.pick(UNIQUE)
        if type_ == "ref" and b.chance(3):
            _component(b, many=many, unique=unique)
        else:
            install(b, type_, many=many, unique=unique)


def tuples(b: Builder) -> None:
    """A tuple of one type, or of several."""
    options = [*SLOT_TYPES, "ref", "ref", "ref", "ref"]
    if b.chance(2):
        slots = (b.pick(options),) * b.pick([2, 2, 3, 8])
    else:
        slots = tuple(b.pick(options) for _ in range(b.pick([2, 3, 4])))
    install(b, "tuple", many=b.chance(3), slots=slots, unique=b.pick(UNIQUE) if b.chance(4) else None)


def composite(b: Builder) -> None:
    """A composite of existing attributes, or of ones made with it."""
    parts = [attr for attr in b.model.attrs if _may_be_part(attr)]
    if len(parts) < 2 or b.chance(4):
        parts = [install(b, b.pick(["ref", "long", "string", "keyword"])) for _ in range(2)]
        b.feature("composite made with its components")
    chosen: list[Attr] = []
    for _ in range(b.pick([2, 2, 2, 3, 4])):
        left = [part for part in parts if part not in chosen]
        if left:
            chosen.append(b.pick(left))
    unique = b.pick(UNIQUE) if b.chance(4) else None
    b.feature("composite")
    if unique:
        b.feature("unique composite")
    if any(part.type == "ref" for part in chosen):
        b.feature("composite over a reference")
    if b.model.held(lambda a: a in chosen):
        b.feature("composite newer than data")
    made = install(b, "tuple", parts=tuple(chosen), unique=unique)

    def note() -> None:
        made.late = bool(b.model.held(lambda a: a in chosen))

    b.at_end.append(note)


def _may_be_part(attr: Attr) -> bool:
    return (
        not attr.many
        and attr.type not in {"tuple", "float", "bytes"}
        and attr.name is not None
        and not attr.parts
    )


def enum(b: Builder) -> None:
    """An entity that has an ident; sometimes a name that was used before."""
    place = Place("entity", b.model.number())
    b.fact(place, "db/ident", "k", _free_name(b) or _new_name(b, f"e{place.number}"))
    b.at_end.append(lambda: b.model.enums.append(place))
    b.feature("enum")


def partition(b: Builder) -> None:
    """A named partition, for entities that are made later."""
    place = Place("entity", b.model.number())
    b.fact(place, "db/ident", "k", f"g/p{place.number}")
    b.step.operations.append(Operation(True, ident("db.part/db"), ident("db.install/partition"), "r", place))
    b.at_end += [lambda: b.model.partitions.append(place), lambda: b.model.enums.append(place)]
    b.feature("named partition")


def _free_name(b: Builder) -> str | None:
    if not b.model.free_names:
        return None
    b.feature("ident used again")
    return b.model.free_names.pop()


def reuse(b: Builder) -> None:
    """Another attribute gets a name that one had."""
    name = _free_name(b)
    if name:
        install(b, b.pick([*_types(b), "ref"]), name=name, many=b.chance(2))
    else:
        rename(b)


def _some(b: Builder, condition: Callable[[Attr], bool] = lambda _: True) -> Attr | None:
    attrs = [attr for attr in b.model.attrs if condition(attr)]
    return b.pick(attrs) if attrs else None


def rename(b: Builder) -> None:
    """An attribute gets another name; the old one is free then."""
    attr = _some(b, lambda a: a.name is not None)
    name = _new_name(b, f"n{b.model.number()}")
    if attr and b.fact(attr.place, "db/ident", "k", name):
        b.feature("ident changed")
        _renamed(b, attr, name, free=not b.model.is_part(attr))


def _renamed(b: Builder, attr: Attr, name: str | None, *, free: bool = True) -> None:
    old = attr.name

    def change() -> None:
        attr.name = name
        if free and old is not None:
            b.model.free_names.append(old)

    b.at_end.append(change)


def take_over(b: Builder) -> None:
    """Two attributes swap their names, or one takes that of another which gets a new one."""
    one, other = (_some(b, lambda a: a.name is not None) for _ in range(2))
    if not one or not other or one is other or one.parts or other.parts:
        return
    if b.model.is_part(one) or b.model.is_part(other):
        return  # a composite has its components by name: Local lets no other attribute have it
    name = other.name if b.chance(2) else f"g/n{b.model.number()}"
    if b.settle(one.place, "db/ident") and b.settle(other.place, "db/ident"):
        b.step.operations += [
            Operation(True, one.place, ident("db/ident"), "k", name),
            Operation(True, other.place, ident("db/ident"), "k", one.name),
        ]
        b.feature("ident taken over in one transaction")
        _renamed(b, one, name, free=False)
        _renamed(b, other, one.name, free=name != other.name)


def lose_name(b: Builder) -> None:
    """An attribute or enum is left without a name."""
    attr = _some(b, lambda a: a.name is not None and not b.model.is_part(a))
    if attr and b.fact(attr.place, "db/ident", "k", attr.name or "", added=False):
        b.feature("ident retracted")
        _renamed(b, attr, None)


def cardinality(b: Builder) -> None:
    """One to many, or many to one where that is possible."""
    attr = _some(b, lambda a: not a.parts and not b.model.is_part(a))
    if attr is None:
        return
    if not b.settle("cardinality", attr):
        return
    crowded = any(len(values) > 1 for (_, a), values in b.model.values.items() if a is attr)
    if not (attr.many and crowded) and b.fact(attr.place, "db/cardinality", "r", _cardinality(not attr.many)):
        b.feature("cardinality one" if attr.many else "cardinality many")

        def change() -> None:
            attr.many = not attr.many

        b.at_end.append(change)


def unique(b: Builder) -> None:
    """Uniqueness on, off, or of the other kind."""
    attr = _some(b, lambda a: a.type not in {"boolean", "bytes"})
    if attr is None:
        return
    values: list[Value] = [value for _, _, value in b.model.held(lambda a: a is attr)]
    if any(same(one, other) for i, one in enumerate(values) for other in values[:i]):
        return
    if any(b.is_odd_when_unique(value) for value in values):
        return
    kind = None if attr.unique and b.chance(2) else b.pick(UNIQUE)
    if kind == attr.unique:
        return
    if b.model.on_pro and not (attr.unique or attr.indexed):
        if attr.used or attr.parts:
            return  # Pro refuses that, also of values of the same transaction (docs/restore-rules.md)
        b.closed.add(attr)
    place = ident(f"db.unique/{kind or attr.unique}")
    if b.fact(attr.place, "db/unique", "r", place, added=kind is not None):
        b.feature("uniqueness on" if kind else "uniqueness off")

        def change() -> None:
            attr.unique = kind

        b.at_end.append(change)


def alter_nothing(b: Builder) -> None:
    """Retracts from an attribute what it does not have: Datomic notes that it was altered."""
    attr = _some(b)
    if attr:
        kind = b.pick([kind for kind in UNIQUE if kind != attr.unique])
        if b.fact(attr.place, "db/unique", "r", ident(f"db.unique/{kind}"), added=False):
            b.feature("alteration that changes nothing")


def describe(b: Builder) -> None:
    """Docs, noHistory and components on and off."""
    attr = _some(b)
    if attr is None:
        return
    what = b.pick(["db/doc", "db/noHistory", "db/isComponent", *["db/index"] * b.model.with_indexes])
    if what == "db/doc":
        b.fact(attr.place, what, "s", b.draw(texts))
        b.feature("doc of an attribute")
    elif what == "db/noHistory" and b.fact(attr.place, what, "b", b.pick([0, 1])):
        b.feature("noHistory")
    elif what == "db/index":
        indexed = not attr.indexed
        if b.fact(attr.place, what, "b", int(indexed)):
            b.feature("index")
            b.at_end.append(partial(setattr, attr, "indexed", indexed))
    elif attr.type == "ref":
        value = not attr.component
        if b.fact(attr.place, what, "b", int(value)):
            b.feature("component on or off")

            def change() -> None:
                attr.component = value

            b.at_end.append(change)
