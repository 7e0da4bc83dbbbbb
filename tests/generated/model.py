"""What a script has built up so far, so that most of what is drawn next is valid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

from asyncrestore.datomic.uri import PEER
from asyncrestore.model.values import to_python
from tests.generated.script import TX, Operation, Place, Step, ident
from tests.generated.values import on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.generated.values import Value

Key: TypeAlias = "tuple[Place, Attr]"
_NEGATIVE_ZEROS = {("d", -(2**63)), ("f", -(2**31))}


@dataclass(eq=False, slots=True)
class Attr:
    """An attribute as the script knows it; `many` and `unique` as of before the step.

    Attributes:
        late: of a composite, whether a component had values before it: these lack it until they are touched.
        indexed: whether it has an index of its own; only Pro knows the difference.
        used: whether anything ever had a value of it.
    """

    place: Place
    name: str | None
    type: str
    many: bool = False
    unique: str | None = None
    component: bool = False
    slots: tuple[str, ...] = ()
    parts: tuple[Attr, ...] = ()
    late: bool = False
    indexed: bool = False
    used: bool = False


DOC = Attr(ident("db/doc"), "db/doc", "string")


@dataclass
class Model:
    """What is there, if the engine took all of it.

    Attributes:
        engines: source and target: what one of them has not, or does otherwise, is not drawn.
        onto_disk: whether a source that is not on disk has a copy there, by Local.
        fitted: whether the copy is fitted to an engine that has no indexes of attributes.
        with_nan: what has NaN, or had.
        free_names: names that attributes had.
        blank_names: names with nothing in them that no entity has had.
    """

    engines: frozenset[str]
    onto_disk: bool = False
    fitted: bool = False
    attrs: list[Attr] = field(default_factory=list)
    entities: list[Place] = field(default_factory=list)
    enums: list[Place] = field(default_factory=list)
    partitions: list[Place] = field(default_factory=list)
    values: dict[Key, list[Value]] = field(default_factory=dict)
    dropped: set[Key] = field(default_factory=set)
    with_nan: set[Key] = field(default_factory=set)
    free_names: list[str] = field(default_factory=list)
    blank_names: list[str] = field(default_factory=lambda: ["", "/"])
    steps: int = 0
    numbers: int = 0

    @property
    def on_pro(self) -> bool:
        """Whether Pro has to take it."""
        return PEER in self.engines

    @property
    def on_pro_only(self) -> bool:
        """Whether what only Pro has may be drawn."""
        return self.engines == {PEER}

    @property
    def with_indexes(self) -> bool:
        """Whether indexes of attributes may be drawn."""
        return self.on_pro_only or self.fitted

    def kept(self, value: Value) -> Value:
        """The value as each copy can have it: on disk Local has one zero and one NaN (known limits)."""
        return on_disk(value) if self.onto_disk else value

    def number(self) -> int:
        """A number not used before."""
        self.numbers += 1
        return self.numbers

    def writable(self) -> list[Attr]:
        """Attributes that data may be written with."""
        return [DOC, *(attr for attr in self.attrs if not attr.parts)]

    def composites(self) -> list[Attr]:
        """Composite tuples."""
        return [attr for attr in self.attrs if attr.parts]

    def composites_of(self, attr: Attr) -> list[Attr]:
        """The composites that an attribute is a component of."""
        return [composite for composite in self.composites() if attr in composite.parts]

    def is_part(self, attr: Attr) -> bool:
        """Whether a composite is made of it."""
        return bool(self.composites_of(attr))

    def is_ambiguous(self, e: Place, attr: Attr) -> bool:
        """Whether the log might not tell that just this component was asserted again.

        So it is where some of its composites may change by that, and some not, and another component of
        theirs may be taken for it, by which a composite would change that did not.
        """
        mine = self.composites_of(attr)
        return len(mine) > 1 and any(
            other.late and other not in mine
            for composite in mine
            for part in composite.parts
            if part is not attr and self.values.get((e, part))
            for other in self.composites_of(part)
        )

    def holder(self, attr: Attr, value: Value) -> Place | None:
        """Which entity has that value of an attribute."""
        for (e, a), values in self.values.items():
            if a is attr and any(same(value, held) for held in values):
                return e
        return None

    def held(self, condition: Callable[[Attr], bool]) -> list[tuple[Place, Attr, Value]]:
        """All values of the attributes that meet a condition."""
        return [(e, a, v) for (e, a), values in self.values.items() if condition(a) for v in values]

    def with_components(self, entity: Place) -> list[Place]:
        """An entity and its components, and theirs."""
        found = [entity]
        for each in found:
            for e, _, (kind, raw) in self.held(lambda a: a.component):
                if e == each and kind == "r" and raw not in found:
                    found.append(raw)
        return found

    def end_step(self) -> None:
        """Gives the present transaction the place that it has for later ones."""
        past = Place("past", self.steps)
        for known in (self.dropped, self.with_nan):
            known.update([(past, attr) for e, attr in known if e == TX])
            known.difference_update([key for key in known if key[0] == TX])
        self.values = {
            (past if e == TX else e, attr): [_later(value, past) for value in values]
            for (e, attr), values in self.values.items()
        }
        self.steps += 1


def same(one: Value, other: Value) -> bool:
    """Whether an engine might take two values for equal."""
    return bool(_norm(one) == _norm(other))


def _later(value: Value, past: Place) -> Value:
    """The value with another place for the present transaction."""
    kind, raw = value
    if kind == "t":
        return kind, tuple(None if slot is None else _later(slot, past) for slot in raw)
    return (kind, past) if value == ("r", TX) else value


def _is_nan(value: Value) -> bool:
    return value[0] in "df" and math.isnan(to_python(*value))


def _norm(value: Value) -> Any:
    kind, raw = value
    if kind == "m":
        return kind, Decimal(str(raw))
    if kind == "o":
        return kind, str(raw).lower()
    if kind == "t":
        return kind, tuple(None if slot is None else _norm(slot) for slot in raw)
    if _is_nan(value):
        return kind, None
    return (kind, 0) if value in _NEGATIVE_ZEROS else value


class Builder:
    """One step being drawn. `model` has what it does at once, except for the schema: at its end.

    Attributes:
        by_clock: whether the engine gives the transaction its instant.
        complete: whether nothing else may be added to it.
    """

    def __init__(self, draw: st.DrawFn, model: Model, *, by_clock: bool) -> None:
        self.draw = draw
        self.model = model
        self.by_clock = by_clock
        self.complete = False
        self.step = Step()
        self.new: set[Place] = set()
        self.at_end: list[Callable[[], object]] = []
        self.closed: set[Attr] = set()
        self._settled: set[Any] = set()
        self._released: list[tuple[Attr, Value]] = []

    def pick(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return self.draw(st.sampled_from(options))

    def chance(self, one_in: int) -> bool:
        """True about once in `one_in`."""
        return bool(self.draw(st.integers(0, one_in - 1)) == one_in - 1)

    def feature(self, *names: str) -> None:
        """Notes what kind of history the step shows."""
        self.step.features.update(names)

    def settle(self, *what: Any) -> bool:
        """Returns False if that was settled before in this transaction: more of it would conflict."""
        if what in self._settled:
            return False
        self._settled.add(what)
        return True

    def fact(self, e: Place, name: str, kind: str, raw: Any, *, added: bool = True) -> bool:
        """States something of the schema, once."""
        if not self.settle(e, name):
            return False
        self.step.operations.append(Operation(added, e, ident(name), kind, raw))
        return True

    def add(self, e: Place, attr: Attr, value: Value, *, at: Place | None = None) -> bool:
        """Asserts a value if that conflicts with nothing; `at` is another place for the same entity."""
        if self._is_impossible(e, attr, value, by_tempid=at is not None or e in self.new or e == TX):
            return False
        there = self.model.values.get((e, attr), ())
        # Local takes NaN for the same as any number, and drops what is asserted over what is the same.
        drops = not attr.many and any(_is_nan(held) or _is_nan(value) for held in there)
        if self.model.is_part(attr):
            drops = drops or any(same(value, held) and value != held for held in there)
            if drops and not self._may_drop(e, attr):
                return False
        if self._is_held(e, attr, value) and self.model.is_ambiguous(e, attr):
            return False  # which of several components was asserted again: a known limit
        if not self.settle(*self.place(e, attr, value)):
            return False
        self.step.operations.append(Operation(True, at or e, attr.place, *value))
        attr.used = True
        if _is_nan(value):
            self.model.with_nan.add((e, attr))
        if drops and self.model.is_part(attr):
            self.model.dropped.add((e, attr))
            self.feature("component that the engine drops")
        if drops:
            return True
        values = self.model.values.setdefault((e, attr), [])
        if not attr.many:
            self._released += [(attr, held) for held in values]
        values[:] = [held for held in values if attr.many and not same(held, value)]
        values.append(value)
        return True

    def place(self, e: Place, attr: Attr, value: Value) -> tuple[Any, ...]:
        """What a transaction may say one thing of: an entity's attribute, or one of its several values."""
        return e, attr.place.name or attr, *([_norm(value)] if attr.many else [])

    def _is_impossible(self, e: Place, attr: Attr, value: Value, *, by_tempid: bool) -> bool:
        """Whether the engine or the copy would refuse it."""
        if attr in self.closed or self._is_beside_nan(e, attr, value):
            return True
        if attr.unique and self.is_odd_when_unique(value):
            return True
        # A new component of an attribute Local refuses, and one of a transaction becomes the present one;
        # where that is a component, what is new may get its partition (docs/restore-rules.md, known limits).
        new = value == ("r", TX) or value[1] in self.new
        if attr.component and e.what in {"attribute", "past"} and new:
            return True
        # Of a unique value Local keeps the spelling that it has. To retract the other one is then nothing,
        # but lets a second entity have it (docs/restore-rules.md, known limits).
        mine = self.model.values.get((e, attr), ()) if attr.unique else ()
        if any(same(value, held) and value != held for held in mine):
            return True
        holder = self.model.holder(attr, value) if attr.unique else None
        return holder not in {None, e} or (by_tempid and self._was_released(attr, value))

    def _is_beside_nan(self, e: Place, attr: Attr, value: Value) -> bool:
        """Whether several values would have NaN among them, now or before.

        An engine may then not find the others (docs/restore-rules.md, known limits).
        """
        beside = _is_nan(value) and self.model.values.get((e, attr))
        return attr.many and bool(beside or (e, attr) in self.model.with_nan)

    def is_odd_when_unique(self, value: Value) -> bool:
        """Whether engines may disagree on what is equal to it (docs/restore-rules.md, known limits)."""
        return len(self.model.engines) > 1 and _is_nan(value)

    def _is_held(self, e: Place, attr: Attr, value: Value) -> bool:
        return any(same(value, held) for held in self.model.values.get((e, attr), ()))

    def _may_drop(self, e: Place, attr: Attr) -> bool:
        """Whether a component may be asserted that Local drops, but makes composites of.

        Not where some of several composites may be filled in by that, nor twice: the log might not tell then
        (docs/restore-rules.md, known limits).
        """
        composites = self.model.composites_of(attr)
        told = len(composites) == 1 or not any(composite.late for composite in composites)
        return told and (e, attr) not in self.model.dropped

    def retract(self, e: Place, attr: Attr, value: Value) -> bool:
        """Retracts a value that is held."""
        if not self.settle(*self.place(e, attr, value)):
            return False
        self.step.operations.append(Operation(False, e, attr.place, *value))
        self.release(e, attr, value)
        return True

    def release(self, e: Place, attr: Attr, value: Value) -> None:
        """Takes a value away, so that another entity may have it in this very transaction."""
        self.model.values[e, attr] = [held for held in self.model.values[e, attr] if held != value]
        self._released.append((attr, value))

    def exchange(self, attr: Attr, given: Sequence[tuple[Place, Value]]) -> bool:
        """Gives each value of a unique attribute to the next entity, and the last one to the first."""
        changes = [(e, old, new) for (e, old), (_, new) in zip(given, [*given[1:], given[0]], strict=True)]
        places = {self.place(e, attr, value) for e, old, new in changes for value in (old, new)}
        if not self._settled.isdisjoint(places):
            return False
        self._settled |= places
        for e, old, new in changes:
            if attr.many:
                self.step.operations.append(Operation(False, e, attr.place, *old))
            self.step.operations.append(Operation(True, e, attr.place, *new))
            kept = [held for held in self.model.values[e, attr] if held != old]
            self.model.values[e, attr] = [*kept, new]
        return True

    def erase(self, entity: Place) -> None:
        """Takes away an entity's values and those of its components, and the references to them."""
        gone = set(self.model.with_components(entity))
        for e, attr, value in self.model.held(lambda _: True):
            if e in gone or (value[0] == "r" and value[1] in gone):
                self.release(e, attr, value)

    def replace(self, e: Place, attr: Attr, old: Value, new: Value) -> bool:
        """Retracts a cardinality-one value and asserts another, each by itself.

        Not a component's value if one is NaN: Local then does only the retraction, but computes composites
        with the other, and that is in the log only if they change (docs/restore-rules.md, known limits).
        """
        odd = _is_nan(old) or _is_nan(new)
        # Of two values that it takes for the same Local refuses to retract one and assert the other.
        if same(old, new) or (odd and self.model.is_part(attr)):
            return False
        if not self.add(e, attr, new):
            return False
        self.step.operations.append(Operation(False, e, attr.place, *old))
        self.release(e, attr, old)
        return True

    def _was_released(self, attr: Attr, value: Value) -> bool:
        """A tempid may not take over an identity: it would lead to the former holder."""
        return attr.unique == "identity" and any(a is attr and same(v, value) for a, v in self._released)

    def new_entity(self) -> Place:
        """A new entity with a doc: one that is only referred to is refused."""
        entity = Place("entity", self.model.number())
        self.new.add(entity)
        self.model.entities.append(entity)
        self.add(entity, DOC, ("s", f"entity {entity.number}"))
        return entity

    def entities(self) -> Iterator[Place]:
        """Entities that are there before this transaction."""
        return (entity for entity in self.model.entities if entity not in self.new)

    def end(self) -> Step:
        """The step, complete."""
        for change in self.at_end:
            change()
        self.model.end_step()
        return self.step
