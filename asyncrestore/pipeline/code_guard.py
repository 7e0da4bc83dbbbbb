"""The guard before a target: of what is sent to it, nothing may be code that is not allowed.

`code` finds what a history has before anything is written, by the base schema that the history itself tells
of. Whoever made the history may have told of another one. So here it counts what an attribute is in the
target, whatever it is called in the source.

An attribute of the target can be named by its ident, its entity id, or a value of a unique attribute; the
engines refuse to alter the idents and the uniqueness of the base schema. So the guard lets nobody give the
attributes of code, or `:db/ident` itself, a further value by which they could be found: then it knows all
positions by which they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncrestore.errors import UsageError
from asyncrestore.model import positions
from asyncrestore.model.code import CODE
from asyncrestore.model.commit import ATTRIBUTES, ENTITIES, KINDS, operations
from asyncrestore.model.log import tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID
from asyncrestore.model.values import FUNCTION, SYMBOL, TUPLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from asyncrestore.model.code import AllowedCode, Found
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.schema import Schema

GUARDED = CODE | {"db/ident"}
"""Idents of the attributes whose ids in the target the guard must know."""

_ORIGINAL_ID = positions.ident(ORIGINAL_ID)
_IDENT = "db/ident"
_SAID_OF_ITSELF = frozenset(
    positions.ident(name) for name in (_IDENT, "db/valueType", "db/cardinality", "db/doc")
)
"""What a history may say of an attribute of code: an upgraded base schema has it. None of it is unique."""


class CodeGuard:
    """Refuses code that is not allowed.

    Args:
        allowed: what may be sent.
        found: all that was found in what is to be restored, and is allowed.
        schema: of the source, as of before the first transaction.
        ids: entity ids in the target of the attributes in `GUARDED`, by ident.
    """

    def __init__(
        self, allowed: AllowedCode, found: Iterable[Found], schema: Schema, ids: Mapping[str, int]
    ) -> None:
        self._allowed = allowed
        self._raws = {(each.code.attribute, each.raw) for each in found}
        self._functions = {raw for _, raw in self._raws}
        self._ensures = any(attribute == "db/ensure" for attribute, _ in self._raws)
        self._names = {positions.ident(name): name for name in GUARDED} | {
            target: name for name, target in ids.items() if name in GUARDED
        }
        for name in CODE:
            entity = schema.find(name)
            if entity is not None and schema.base.get(entity) != name:
                self._names[positions.lookup(entity)] = name
        self._suspicious = {FUNCTION, TUPLE, *self._names}

    def check(self, data: TxData) -> None:
        """Checks a transaction that is to be sent.

        Raises:
            UsageError: it has code that is not allowed.
        """
        # Hardly any transaction needs a closer look. To find that out takes half a microsecond. A value may
        # happen to be the same as what is looked for.
        if self._suspicious.isdisjoint(data.adds) and self._suspicious.isdisjoint(data.retracts):
            return
        adds, untouched = data.adds, self._names.keys().isdisjoint
        if not (untouched(adds[ATTRIBUTES]) and untouched(adds[ENTITIES])):
            self._note_names(data)
            self._check_code(data)
            self._check_said(data)
        kinds = adds[KINDS] + data.retracts[KINDS]
        if (FUNCTION in kinds or TUPLE in kinds) and not self._allowed.everything:
            self._check_functions(data)

    def _check_code(self, data: TxData) -> None:
        """Checks the values that attributes of code are given."""
        for _, attribute, kind, raw in operations(data.adds):
            name = self._names.get(attribute, "")
            if name in CODE and not self._may(name, kind, raw):
                raise _refused(data, f"it would give an entity {raw!r} as :{name}")

    def _may(self, name: str, kind: str, raw: Any) -> bool:
        if kind == SYMBOL:
            return self._allowed.allows(str(raw))
        if self._allowed.everything:
            return True
        return self._ensures if name == "db/ensure" else (name, raw) in self._raws

    def _check_functions(self, data: TxData) -> None:
        """Checks each function, whatever it is a value of: the bridge would make it."""
        for _, _, kind, raw in (*operations(data.adds), *operations(data.retracts)):
            for function in _functions(kind, raw):
                if function not in self._functions:
                    raise _refused(data, f"it has the function {function!r}")

    def _note_names(self, data: TxData) -> None:
        """Notes which entity is an attribute of code because it is given its ident."""
        for entity, attribute, _, raw in operations(data.adds):
            if self._names.get(attribute) == _IDENT:
                name = str(raw).removeprefix(":")
                if name not in GUARDED or self._names.get(entity) == name:
                    continue
                if name == _IDENT or not positions.is_tempid(entity):
                    raise _refused(data, f"it gives an entity the ident :{name}")
                self._names[entity] = name
                self._names[positions.lookup(positions.number(entity))] = name
                self._suspicious.update(self._names)

    def _check_said(self, data: TxData) -> None:
        """Checks what is said of the guarded attributes themselves."""
        for entity, attribute, _, raw in operations(data.adds):
            name = self._names.get(entity)
            if name is None or attribute in _SAID_OF_ITSELF:
                continue
            if attribute == _ORIGINAL_ID and isinstance(raw, int) and entity == positions.tempid(raw):
                continue
            raise _refused(data, f"it gives :{name} itself a value, by which it could be called otherwise")


def _functions(kind: str, raw: Any) -> Iterator[Any]:
    """Yields the functions in a value: itself, or slots of a tuple."""
    if kind == FUNCTION:
        yield raw
    elif kind == TUPLE:
        for slot in raw:
            if slot is not None:
                yield from _functions(slot[0], slot[1])


def _refused(data: TxData, why: str) -> UsageError:
    return UsageError(
        f"t {tx_to_t(data.tx)} has code that is not allowed, or hides some: {why}",
        hint="Everything before it is restored. Hardly any database has such a history: somebody may have "
        "made it. If it is your own, leave the attribute of that value out: `exclude=ATTR`, into a new "
        "database.",
    )
