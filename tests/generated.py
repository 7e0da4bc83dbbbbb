"""Random histories, for any engine: schemas and transactions as data to commit.

They are drawn loosely. What the engine refuses does not enter the history; what it takes must be restored
exactly. Entities are found again by a key of their own (`k/id`), so that nothing depends on an engine's ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from asyncrestore.datomic.frames import keyword
from asyncrestore.model import TxData
from tests.strategies import double_bits, float_bits, longs, texts

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "k/id"
DAY_MS = 86_400_000

_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(/[a-z][a-z0-9-]{0,5})?", fullmatch=True)
_NAN, _INFINITY, _NEGATIVE_ZERO = 0x7FF8000000000000, 0x7FF0000000000000, -(2**63)

VALUES: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "string": ("s", st.one_of(texts, st.sampled_from(["", "x" * 4096, "~x", "^ ", "é\U0001f600"]))),
    "boolean": ("b", st.integers(0, 1)),
    "long": ("l", st.one_of(st.integers(0, 3), longs)),
    "bigint": ("n", st.one_of(st.integers(0, 3), st.integers(-(10**40), 10**40)).map(str)),
    "double": ("d", st.one_of(double_bits, st.sampled_from([_NAN, _INFINITY, _NEGATIVE_ZERO, 0]))),
    "float": ("f", st.one_of(float_bits, st.sampled_from([0x7FC00000, 0x7F800000, -(2**31), 0, 0x3F8CCCCD]))),
    "bigdec": (
        "m",
        st.sampled_from(["0", "1.1", "1.10", "-0.0", "1E+3", "1000", "0E-10", "123456789.123456789"]),
    ),
    "instant": ("i", st.one_of(st.integers(-62135596800000, 253402300799999), st.sampled_from([-1, 0, 1]))),
    "keyword": ("k", _NAMES),
    "symbol": ("y", _NAMES),
    "uuid": ("u", st.uuids().map(str)),
    "uri": ("o", st.sampled_from(["http://a/b?c=d#e", "urn:x:y", "mailto:a@b", "/relative", ""])),
}
TUPLE_TYPES = (
    "string",
    "boolean",
    "long",
    "double",
    "bigdec",
    "instant",
    "keyword",
    "symbol",
    "uuid",
    "bigint",
)


@dataclass
class Attr:
    """An attribute as the generator believes it to be."""

    names: list[str]
    type: str
    many: bool
    slots: list[str] = field(default_factory=list)
    composite: bool = False


@dataclass
class Model:
    """What the generator believes to be in the database; the engine may have refused some of it."""

    draw: st.DrawFn
    attrs: list[Attr] = field(default_factory=list)
    keys: int = 0
    tempids: int = 0
    enums: list[str] = field(default_factory=list)
    values: dict[tuple[int, int], list[Any]] = field(default_factory=dict)
    now: int = 0
    names: int = 0

    def pick(self, options: list[Any]) -> Any:
        """One of the options."""
        return options[self.draw(st.integers(0, len(options) - 1))]

    def chance(self, one_in: int) -> bool:
        """True once in `one_in`."""
        return self.draw(st.integers(1, one_in)) == one_in

    def new_name(self) -> str:
        """A name not used before."""
        self.names += 1
        return f"g/n{self.names}"

    def tempid(self) -> str:
        """A tempid not used before."""
        self.tempids += 1
        return str(self.tempids)


Transaction = TxData | str
"""Data to commit, or EDN text where a transaction function is called."""


def _key(number: int) -> tuple[Any, int]:
    return (keyword(KEY), number)


def _dangling(model: Model) -> int:
    """An id that no entity has (yet): it may look old or new, and may belong to a later entity."""
    index = model.draw(st.one_of(st.integers(73, 160), st.integers(10**6, 2**42 - 1)))
    return (model.draw(st.sampled_from([17, 18, 19, 20, 21, 22, 23, 4715])) << 42) | index


def _reference(model: Model, adds: list[Any]) -> Any:
    choice = model.draw(st.integers(0, 6))
    if choice == 0 or not model.keys:
        return _new_entity(model, adds)
    if choice == 1:
        return _dangling(model)
    if choice == 2 and model.enums:
        return keyword(model.pick(model.enums))
    if choice == 3:
        return keyword(model.pick(model.attrs).names[-1])
    if choice == 4:
        return "datomic.tx"
    return _key(model.draw(st.integers(1, model.keys)))


def _new_entity(model: Model, adds: list[Any]) -> str:
    tempid = model.tempid()
    model.keys += 1
    adds += (tempid, keyword(KEY), "l", model.keys)
    return tempid


def _value(model: Model, attr: Attr, adds: list[Any]) -> tuple[str, Any]:
    if attr.type == "ref":
        return "r", _reference(model, adds)
    if attr.type == "tuple":
        slots = [_slot(model, slot, adds) for slot in attr.slots]
        return "t", tuple(slots)
    kind, strategy = VALUES[attr.type]
    return kind, model.draw(strategy)


def _slot(model: Model, slot: str, adds: list[Any]) -> tuple[str, Any] | None:
    if model.chance(4):
        return None
    if slot == "ref":
        return "r", _reference(model, adds)
    kind, strategy = VALUES[slot]
    value = model.draw(strategy)
    return kind, value[:256] if slot == "string" else value


def _install(model: Model, name: str, facts: dict[str, tuple[str, Any]]) -> list[Any]:
    tempid = model.tempid()
    adds: list[Any] = [tempid, keyword("db/ident"), "k", name]
    for fact, (kind, raw) in facts.items():
        adds += (tempid, keyword(fact), kind, keyword(raw) if kind == "r" else raw)
    return adds


def _cardinality(many: bool) -> tuple[str, str]:
    return ("r", f"db.cardinality/{'many' if many else 'one'}")


def install_attribute(model: Model) -> Transaction:
    """A scalar or reference attribute."""
    type_ = model.pick([*VALUES, "ref", "ref"])
    many = model.chance(3)
    facts = {"db/valueType": ("r", f"db.type/{type_}"), "db/cardinality": _cardinality(many)}
    if not many and type_ not in {"ref", "boolean"} and model.chance(3):
        facts["db/unique"] = ("r", model.pick(["db.unique/value", "db.unique/identity"]))
    if model.chance(5):
        facts["db/noHistory"] = ("b", 1)  # type: ignore[assignment]
    if type_ == "ref" and model.chance(3):
        facts["db/isComponent"] = ("b", 1)  # type: ignore[assignment]
    name = model.new_name()
    model.attrs.append(Attr([name], type_, many))
    return TxData(0, _install(model, name, facts), [])


def install_tuple(model: Model) -> Transaction:
    """A heterogeneous or homogeneous tuple."""
    name, many = model.new_name(), model.chance(3)
    facts: dict[str, tuple[str, Any]] = {
        "db/valueType": ("r", "db.type/tuple"),
        "db/cardinality": _cardinality(many),
    }
    if model.chance(2):
        slot = model.pick([*TUPLE_TYPES, "ref", "ref"])
        slots = [slot] * model.draw(st.integers(2, 8))
        facts["db/tupleType"] = ("k", f"db.type/{slot}")
    else:
        slots = [model.pick([*TUPLE_TYPES, "ref", "ref"]) for _ in range(model.draw(st.integers(2, 4)))]
        facts["db/tupleTypes"] = ("t", tuple(("k", f"db.type/{slot}") for slot in slots))
    model.attrs.append(Attr([name], "tuple", many, slots))
    return TxData(0, _install(model, name, facts), [])


def install_composite(model: Model) -> Transaction:
    """A composite of attributes that are there, or that come in the same transaction."""
    adds: list[Any] = []
    parts = [a for a in model.attrs if not a.many and a.type not in {"tuple", "double", "float", "uri"}]
    if len(parts) < 2 or model.chance(3):
        for type_ in ("ref", "long"):
            name = model.new_name()
            adds += _install(
                model,
                name,
                {"db/valueType": ("r", f"db.type/{type_}"), "db/cardinality": _cardinality(many=False)},
            )
            model.attrs.append(Attr([name], type_, many=False))
        parts = model.attrs[-2:]
    first = model.pick(parts)
    second = model.pick([part for part in parts if part is not first])
    facts: dict[str, tuple[str, Any]] = {
        "db/valueType": ("r", "db.type/tuple"),
        "db/cardinality": _cardinality(many=False),
        "db/tupleAttrs": ("t", (("k", first.names[-1]), ("k", second.names[-1]))),
    }
    if model.chance(3):
        facts["db/unique"] = ("r", model.pick(["db.unique/value", "db.unique/identity"]))
    name = model.new_name()
    adds += _install(model, name, facts)
    model.attrs.append(Attr([name], "tuple", many=False, composite=True))
    return TxData(0, adds, [])


def install_enum(model: Model) -> Transaction:
    """An entity with an ident."""
    name = model.new_name()
    model.enums.append(name)
    return TxData(0, [model.tempid(), keyword("db/ident"), "k", name], [])


def alter(model: Model) -> Transaction:
    """A change of an attribute: names, cardinality, uniqueness, and the like."""
    attr = model.pick(model.attrs)
    entity = keyword(attr.names[-1])
    choice = model.draw(st.integers(0, 6))
    if choice == 0:
        attr.names.append(model.new_name())
        return TxData(0, [entity, keyword("db/ident"), "k", attr.names[-1]], [])
    if choice == 1 and len(attr.names) > 1:
        old = attr.names.pop(0)  # a former name, for another attribute
        model.attrs.append(Attr([old], "long", many=True))
        facts = {"db/valueType": ("r", "db.type/long"), "db/cardinality": _cardinality(many=True)}
        return TxData(0, _install(model, old, facts), [])
    if choice == 2:
        attr.many = not attr.many
        return TxData(0, [entity, keyword("db/cardinality"), *("r", keyword(_cardinality(attr.many)[1]))], [])
    unique = keyword(model.pick(["db.unique/value", "db.unique/identity"]))
    if choice == 3:
        return TxData(0, [entity, keyword("db/unique"), "r", unique], [])
    if choice == 4:
        return TxData(0, [], [entity, keyword("db/unique"), "r", unique])
    if choice == 5:
        return TxData(0, [entity, keyword("db/noHistory"), "b", model.draw(st.integers(0, 1))], [])
    return TxData(0, [entity, keyword("db/doc"), "s", model.draw(texts)], [])


def write(model: Model) -> Transaction:
    """Assertions and retractions: of new entities, known ones, attributes, the transaction itself."""
    adds: list[Any] = []
    retracts: list[Any] = []
    for _ in range(model.draw(st.integers(1, 5))):
        writable = [i for i, attr in enumerate(model.attrs) if not attr.composite]
        number = model.pick(writable)
        attr = model.attrs[number]
        a = keyword(attr.names[-1])
        target = model.draw(st.integers(0, 5))
        if target == 0 or not model.keys:
            e: Any = _new_entity(model, adds)
            known = model.keys
        elif target == 1:
            e, known = model.pick(["datomic.tx", keyword(model.pick(model.attrs).names[-1])]), 0
        else:
            known = model.draw(st.integers(1, model.keys))
            e = _key(known)
        values = model.values.setdefault((known, number), [])
        if values and known and model.chance(3):
            kind, raw = model.pick(values)
            (retracts if model.chance(2) else adds).extend((e, a, kind, raw))
        else:
            kind, raw = _value(model, attr, adds)
            adds += (e, a, kind, raw)
            if kind != "r" and not (isinstance(raw, tuple) and any(slot and slot[0] == "r" for slot in raw)):
                values.append((kind, raw))
    return TxData(0, adds, retracts)


def move(model: Model) -> Transaction:
    """A value goes from one entity to another: for a unique attribute the odd case."""
    holders = [(place, values) for place, values in model.values.items() if values and place[0]]
    if not holders:
        return write(model)
    (key, number), values = model.pick(holders)
    other = model.draw(st.integers(1, model.keys))
    a, (kind, raw) = keyword(model.attrs[number].names[-1]), model.pick(values)
    model.values.setdefault((other, number), []).append((kind, raw))
    return TxData(0, [_key(other), a, kind, raw], [_key(key), a, kind, raw])


def retract_entity(model: Model) -> Transaction:
    """An entity with its components; its key goes too, so it comes back under a new one."""
    return f"[[:db/retractEntity [:{KEY} {model.draw(st.integers(1, max(1, model.keys)))}]] {{instant}}]"


def touch(model: Model) -> Transaction:
    """Every known value of an entity again: nothing new, but it fills composites that are newer."""
    adds: list[Any] = []
    key = model.draw(st.integers(1, max(1, model.keys)))
    for (holder, number), values in model.values.items():
        if holder == key and values:
            adds += (_key(key), keyword(model.attrs[number].names[-1]), *values[-1])
    return TxData(0, adds, [])


def empty(_: Model) -> Transaction:
    """A transaction without data."""
    return TxData(0, [], [])


STEPS: list[Callable[[Model], Transaction]] = [
    install_attribute, install_attribute, install_tuple, install_composite, install_enum, alter, alter,
    write, write, write, write, write, write, move, retract_entity, touch, empty,
]  # fmt: skip


def _dated(model: Model, transaction: Transaction) -> Transaction:
    """With an instant not older than the one before: equal, a millisecond later, or much later."""
    model.now += model.draw(st.sampled_from([0, 0, 1, 1000, DAY_MS, 200 * DAY_MS]))
    if isinstance(transaction, str):
        from asyncrestore.values import to_python

        text = to_python("i", model.now).isoformat(timespec="milliseconds").replace("+00:00", "-00:00")
        return transaction.replace("{instant}", f'[:db/add "datomic.tx" :db/txInstant #inst "{text}"]')
    transaction.adds = ["datomic.tx", keyword("db/txInstant"), "i", model.now, *transaction.adds]
    return transaction


@st.composite
def histories(draw: st.DrawFn, *, max_transactions: int = 14) -> list[Transaction]:
    """Transactions to commit one after the other; an engine may refuse some."""
    model = Model(draw)
    facts = {
        "db/valueType": ("r", "db.type/long"),
        "db/cardinality": _cardinality(many=False),
        "db/unique": ("r", "db.unique/identity"),
    }
    first = TxData(0, _install(model, KEY, facts), [])
    transactions = [_dated(model, first), _dated(model, install_attribute(model))]
    for _ in range(draw(st.integers(1, max_transactions))):
        transactions.append(_dated(model, model.pick(STEPS)(model)))
    return transactions
