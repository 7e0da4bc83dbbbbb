"""Composite tuples: the target computes them, and must be made to where the log does not show why.

It computes a composite when it is told something of one of its components. Asserting a component again,
unchanged, makes it do so and leaves nothing else in the log; it concerns every composite of the component.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncrestore.model import Datom
    from asyncrestore.schema import Schema

SPELLED = "odfm"
"""Kinds of values that Local may take for the same though they differ: URIs by case, NaN, zeros, scales."""

_FAR_SCALE = 29
"""Decimal places that a respelled decimal has more."""


class Composites:
    """The composite attributes of a schema.

    Args:
        schema: tells what they are made of; it may move on.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._ids: set[int] = set()
        self._of: dict[int, set[int]] = {}  # by component

    def note(self, attribute: int) -> bool:
        """Notes an attribute if it is a composite; answers whether it is."""
        components = self._components(attribute)
        if components:
            self._ids.add(attribute)
        for component in components:
            self._of.setdefault(component, set()).add(attribute)
        return bool(components)

    def _components(self, attribute: int) -> tuple[int, ...]:
        known = self._schema.attributes.get(attribute)
        return (known.components if known else None) or ()

    def unsaid(self, datoms: Sequence[Datom]) -> Iterator[Datom]:
        """What makes the target compute that which the other datoms of a transaction do not.

        Args:
            datoms: of one transaction.

        Yields:
            Assertions of what an entity has already, or of what Local will drop; retractions of what it has
            in another spelling.
        """
        if self._ids.isdisjoint(datom[1] for datom in datoms):
            return
        by_entity: dict[int, list[Datom]] = {}
        for datom in datoms:
            by_entity.setdefault(datom[0], []).append(datom)
        for e, a, _, raw, added in datoms:
            if a in self._ids and isinstance(raw, tuple):
                mine = by_entity[e]
                slots = zip(self._components(a), raw, strict=True)
                filled = {component: slot for component, slot in slots if slot is not None}
                if added:
                    for component in self._unexplained(a, filled, mine):
                        yield (e, component, *filled[component], True)
                else:
                    for component, decimal in self._emptied(a, filled, mine):
                        yield (e, component, "m", decimal, False)

    def _emptied(
        self, composite: int, slots: dict[int, tuple[str, Any]], mine: Sequence[Datom]
    ) -> Iterator[tuple[int, str]]:
        """The decimals that a composite lost though their components did not.

        Local drops the retraction of a decimal that is held in another spelling (1.0 of 1.00), but makes
        composites without it. Which spelling was retracted is not in the log: any does that is not held.
        """
        new = next((raw for _, a, _, raw, added in mine if a == composite and added), None)
        left: set[int] = set()
        if isinstance(new, tuple):
            left = {c for c, slot in zip(self._components(composite), new, strict=True) if slot is not None}
        for component in slots.keys() - left - {a for _, a, *_ in mine}:
            kind, raw = slots[component]
            if kind == "m":
                yield component, _respelled(raw)

    def _unexplained(
        self, composite: int, slots: dict[int, tuple[str, Any]], mine: Sequence[Datom]
    ) -> list[int]:
        """The components to assert again for a composite, given what the transaction says of its entity."""
        touched = {a for _, a, *_ in mine}
        dropped = self._dropped(composite, slots, mine, touched)
        had = any(a == composite and not added for _, a, _, _, added in mine)
        if dropped or had or not touched.isdisjoint(self._components(composite)):
            return dropped
        # It is newer than its components, and one of them was asserted again: one whose other composites
        # changed as well, if there is one.
        return ([c for c in slots if self._of[c] <= touched] or list(slots))[:1]

    def _dropped(
        self, composite: int, slots: dict[int, tuple[str, Any]], mine: Sequence[Datom], touched: set[int]
    ) -> list[int]:
        """The components whose values in a composite are neither old nor in the log, or may be so.

        Local drops what is asserted over NaN, over a value that it takes for the same, or beside the
        retraction of one, and NaN over a number, but makes composites of it. It does so again when it is told
        so again.
        """
        asserted = {a for _, a, _, _, added in mine if added}
        old = next((raw for _, a, _, raw, added in mine if a == composite and not added), None)
        before: dict[int, Any] = {}
        if isinstance(old, tuple):
            before = dict(zip(self._components(composite), old, strict=True))

        def dropped(component: int, slot: tuple[str, Any]) -> bool:
            if component in touched:
                return component not in asserted
            if before:
                return bool(before[component] != slot) and not _lagged(before[component], slot)
            return slot[0] in SPELLED and self._of[component] <= touched

        return [component for component, slot in slots.items() if dropped(component, slot)]


def _lagged(old: tuple[str, Any] | None, new: tuple[str, Any]) -> bool:
    """Whether it is a decimal in another spelling: in the log a change, to a composite none."""
    return old is not None and old[0] == new[0] == "m" and Decimal(old[1]) == Decimal(new[1])


def _respelled(decimal: str) -> str:
    """The same number with a scale that nobody gives it."""
    sign, digits, exponent = Decimal(decimal).as_tuple()
    unscaled = "".join(map(str, digits)) + "0" * _FAR_SCALE
    return f"{'-' if sign else ''}{unscaled}E{int(exponent) - _FAR_SCALE}"
