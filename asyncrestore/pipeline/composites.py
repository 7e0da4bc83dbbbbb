"""Composite tuples: the target computes them, and must be made to do so where the log does not show why.

It computes a composite when a transaction asserts or retracts one of its components. Asserting a component
again, unchanged, makes it do so and leaves nothing else in the log. That concerns every composite of the
component.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import DamageError
from asyncrestore.model.values import BIGDEC, DOUBLE, FLOAT, URI

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncrestore.model.log import Datom
    from asyncrestore.model.schema import Schema

LOOSELY_EQUAL_KINDS = frozenset({URI, DOUBLE, FLOAT, BIGDEC})
"""Kinds with different values that Local may take for equal: case of URIs, NaN, zeros, decimal scales."""

_FAR_SCALE = 29
"""How many more decimal places a respelled decimal has."""


class Composites:
    """The composite attributes of a schema.

    Args:
        schema: says what they are made of; it may move on.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._ids: set[int] = set()
        self._by_component: dict[int, set[int]] = {}  # composites by component
        self._instant = next((e for e, name in schema.base.items() if name == "db/txInstant"), None)

    def note(self, attribute: int) -> bool:
        """Notes an attribute if it is a composite; returns whether it is."""
        components = self._components(attribute)
        if components:
            self._ids.add(attribute)
        for component in components:
            self._by_component.setdefault(component, set()).add(attribute)
        return bool(components)

    def _components(self, attribute: int) -> tuple[int, ...]:
        known = self._schema.attributes.get(attribute)
        return (known.components if known else None) or ()

    def recomputations(self, datoms: Sequence[Datom]) -> Iterator[Datom]:
        """Yields datoms that make the target recompute composites whose change the log does not explain.

        Args:
            datoms: of one transaction.

        Raises:
            DamageError: a composite's value has not a slot for each component.

        Yields:
            Assertions of what an entity has already, or of what Local will drop; retractions of decimals that
            it holds in another spelling.
        """
        if self._ids.isdisjoint(datom[1] for datom in datoms):
            return
        by_entity: dict[int, list[Datom]] = {}
        for datom in datoms:
            by_entity.setdefault(datom[0], []).append(datom)
        for e, a, _, raw, added in datoms:
            if a in self._ids and isinstance(raw, tuple):
                if len(raw) != len(self._components(a)):
                    raise DamageError(
                        f"entity {e}: a value of the composite {a} has other components than it"
                    )
                mine = by_entity[e]
                slots = zip(self._components(a), raw, strict=True)
                filled = {component: slot for component, slot in slots if slot is not None}
                if added:
                    for component in self._unexplained(a, filled, mine):
                        yield (e, component, *filled[component], True)
                else:
                    for component, decimal in self._emptied(a, filled, mine):
                        yield (e, component, BIGDEC, decimal, False)

    def _emptied(
        self, composite: int, slots: dict[int, tuple[str, Any]], mine: Sequence[Datom]
    ) -> Iterator[tuple[int, str]]:
        """Yields the decimals that a composite lost though their components did not.

        Local drops the retraction of a decimal that is held in another spelling (1.0 of 1.00), but makes
        composites without it. Which spelling was retracted is not in the log; any that is not held will do.
        """
        new = next((raw for _, a, _, raw, added in mine if a == composite and added), None)
        left: set[int] = set()
        if isinstance(new, tuple):
            left = {c for c, slot in zip(self._components(composite), new, strict=True) if slot is not None}
        for component in slots.keys() - left - {a for _, a, *_ in mine}:
            kind, raw = slots[component]
            if kind == BIGDEC:
                yield component, _respelled(raw)

    def _unexplained(
        self, composite: int, slots: dict[int, tuple[str, Any]], mine: Sequence[Datom]
    ) -> list[int]:
        """Returns the components to assert again for a composite, given the datoms of its entity."""
        touched = {a for _, a, *_ in mine}
        old = next((raw for _, a, _, raw, added in mine if a == composite and not added), None)
        before: dict[int, Any] = {}
        if isinstance(old, tuple):
            before = dict(zip(self._components(composite), old, strict=True))
        dropped = self._dropped(slots, before, mine, touched)
        # A transaction's own composites lack its instant until one of their components is asserted later.
        lacked_instant = self._instant in slots and before.get(self._instant) is None
        if dropped or (before and not lacked_instant) or not touched.isdisjoint(self._components(composite)):
            return dropped
        # The composite is newer than its components (or than the instant), and one of these was asserted
        # again. That is one whose other composites changed as well, if there is one. It is not the instant:
        # no engine takes that of an earlier transaction.
        possible = [c for c in slots if c != self._instant]
        return ([c for c in possible if self._by_component[c] <= touched] or possible)[:1]

    def _dropped(
        self,
        slots: dict[int, tuple[str, Any]],
        before: dict[int, Any],
        mine: Sequence[Datom],
        touched: set[int],
    ) -> list[int]:
        """Returns the components whose values in a composite are, or may be, neither old nor in the log.

        Local drops what is asserted over NaN, over a value that it takes for the same, or beside the
        retraction of such a value, and NaN asserted over a number, but makes composites of it. It does the
        same again when the same is asserted again.
        """
        asserted = {a for _, a, _, _, added in mine if added}

        def dropped(component: int, slot: tuple[str, Any]) -> bool:
            if component in touched:
                return component not in asserted
            if before:
                return bool(before[component] != slot) and not _same_decimal(before[component], slot)
            return slot[0] in LOOSELY_EQUAL_KINDS and self._by_component[component] <= touched

        return [c for c, slot in slots.items() if c != self._instant and dropped(c, slot)]


def _same_decimal(old: tuple[str, Any] | None, new: tuple[str, Any]) -> bool:
    """Whether both are one decimal in two spellings: a change in the log, but not to a composite."""
    return old is not None and old[0] == new[0] == BIGDEC and Decimal(old[1]) == Decimal(new[1])


def _respelled(decimal: str) -> str:
    """Returns the same number with a scale that nobody would use."""
    sign, digits, exponent = Decimal(decimal).as_tuple()
    unscaled = "".join(map(str, digits)) + "0" * _FAR_SCALE
    return f"{'-' if sign else ''}{unscaled}E{int(exponent) - _FAR_SCALE}"
