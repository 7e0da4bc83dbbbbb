"""Checks that a target's edition can hold what a restore is about to write, before it writes anything.

What a target lacks is known from the target: the idents of the source's base schema that it does not have.
Datomic Local, for example, has no `:db/index`, `:db.type/bytes` and `:db/fn`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncrestore.errors import UNREADABLE, Conflict, DamageError, UsageError
from asyncrestore.filters.request import UNNEEDED
from asyncrestore.model.code import CODE, describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncrestore.model.code import Code
    from asyncrestore.pipeline.code_check import CodeCheck


@dataclass(slots=True)
class _Found:
    """What a target lacks and the history has.

    Attributes:
        unneeded: of each attribute that the target does without, the entities that have it.
        types: of each type that it lacks, the attributes that have it.
        code: functions and the like that it has no attribute for.
    """

    unneeded: dict[str, set[int]] = field(default_factory=dict)
    types: dict[str, list[str]] = field(default_factory=dict)
    code: list[Code] = field(default_factory=list)


class EditionCheck:
    """The check of one restore.

    Args:
        code: which history is restored, how filtered, and what code is in it.
        lacking: what the target lacks (see `lacking_in`).
        target: its URI, for messages.
    """

    def __init__(self, code: CodeCheck, lacking: Mapping[int, str], target: str) -> None:
        self._code = code
        self._lacking = lacking
        self._target = target
        self._after: int | None = None

    async def after(self, source_tx: int) -> None:
        """Reads what is to be restored after a transaction of the source, and checks it and its code.

        Raises:
            UsageError: it has code that is not allowed, or what the target cannot hold or does without.
        """
        await self._code.after(source_tx)
        if self._after == source_tx or not self._lacking:
            return
        self._after = source_tx
        found = _Found(code=[each for each in self._code.codes if self._is_lacking(each)])
        await self._read(found)
        if found.unneeded or found.types or found.code:
            raise _refused(self._target, self._code.history.where, found)

    def _is_lacking(self, code: Code) -> bool:
        """Returns whether the target lacks its attribute or, of an attribute of one's own, functions."""
        return (code.attribute if code.attribute in CODE else "db/fn") in self._lacking.values()

    async def _read(self, found: _Found) -> None:
        """Finds unneeded attributes and types, in a pass over the history if there may be any."""
        history, leaves_out = self._code.history, self._code.leaves_out
        wanted = {a for a, ident in self._lacking.items() if ident in UNNEEDED and not leaves_out(-1, a)}
        of_type = await self._of_types()
        start, end = self._code.reach
        if start == end or not (wanted or of_type):
            return
        value_type = [a for a, ident in history.base.items() if ident == "db/valueType"]
        for _, (e, a, _, raw, _) in await history.some([*wanted, *value_type], start, end):
            if a in wanted:
                found.unneeded.setdefault(self._lacking[a], set()).add(e)
            elif e in of_type and isinstance(raw, int) and raw in self._lacking:
                found.types.setdefault(self._lacking[raw], []).append(of_type[e])

    async def _of_types(self) -> dict[int, str]:
        """Returns the attributes that are not left out, of types that the target lacks: names by id."""
        lacking = {ident for ident in self._lacking.values() if ident.startswith("db.type/")}
        if lacking:
            # Damage is raised in its turn, after all before it; what the target lacks there, it refuses.
            with suppress(*UNREADABLE, DamageError, Conflict):
                schema = await self._code.history.schema()
                return {
                    e: f":{attribute.ident or e}"
                    for e, attribute in schema.attributes.items()
                    if attribute.value_type in lacking and not self._code.leaves_out(e, -1)
                }
        return {}


def _refused(target: str, where: str, found: _Found) -> UsageError:
    unneeded = [
        f":{ident} ({len(having)} {'entity' if len(having) == 1 else 'entities'})"
        for ident, having in sorted(found.unneeded.items())
    ]
    lost = [f":{type_} ({', '.join(sorted(names))})" for type_, names in sorted(found.types.items())]
    lost += [describe(found.code)] if found.code else []
    parts = [
        f"{', '.join(what)}, which it {does}"
        for what, does in ((unneeded, "does without"), (lost, "cannot hold"))
        if what
    ]
    return UsageError(
        f"{target} lacks some of the base schema that {where} uses: {'; '.join(parts)}. Nothing was written.",
        hint=" ".join([*_without_loss(found), *_with_loss(found)]),
    )


def _without_loss(found: _Found) -> list[str]:
    return ["Leave out what it does without, nothing is lost: `fit_target`."] if found.unneeded else []


def _with_loss(found: _Found) -> list[str]:
    names = sorted({name.removeprefix(":") for names in found.types.values() for name in names})
    options = [f"`exclude={name}`" for name in (*names, *sorted({code.attribute for code in found.code}))]
    options += ["`exclude_schema`"] if names else []
    if not options:
        return []
    return [
        f"Leave out what it cannot hold, which only the source has then: {' '.join(options)}.",
        "Or restore into the source's own edition, or a target with a newer base schema.",
    ]
