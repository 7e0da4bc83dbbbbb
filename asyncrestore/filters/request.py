"""Checks what a filter is asked to do: other data may depend on an attribute."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from asyncrestore.errors import UsageError
from asyncrestore.filters.rewrites import HASHED_KINDS
from asyncrestore.model.code import CODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncrestore.filters.rewrites import Rewrite, Rewriter
    from asyncrestore.model.schema import Attribute, Schema

UNNEEDED = frozenset({"db/index", "db/fulltext", "db.sys/partiallyIndexed", "db/lang", "db.install/function"})
"""Attributes of the base schema that a target which lacks them does without: no data is lost with them.

As a target that has no `:db/index` indexes every attribute. `:db/lang` and `:db.install/function` say how to
read a function, which is a datom of its own.
"""

OPTIONAL_BASE = UNNEEDED | {
    *CODE,
    *("db/doc", "db/txUUID", "db.sys/reId"),
    *("db/excise", "db.excise/attrs", "db.excise/before", "db.excise/beforeT"),
}
"""Attributes of the base schema that may be left out.

A target may lack them, the code that they name or room for their values, and no other data depends on them.
"""


class FilterRequest:
    """The attributes to leave out and to rewrite, found in the source's schema.

    Attributes:
        excluded: ident by attribute id.
        rewritten: ident and way of rewriting by attribute id.

    Raises:
        UsageError: an attribute is not in the source, cannot be filtered, or is named twice.
    """

    def __init__(
        self, schema: Schema, exclude: Iterable[str], rewrite: Mapping[str, Rewrite], *, exclude_schema: bool
    ) -> None:
        self._schema = schema
        self._exclude_schema = exclude_schema
        if isinstance(exclude, str):
            raise UsageError(f"exclude is a list of attributes, not the text {exclude!r}")
        self.excluded = {a: self._ident(a) for a in map(self._find, exclude)}
        if exclude_schema and not self.excluded:
            raise UsageError(
                "There is no schema to exclude without attributes to exclude", hint="Add `exclude=ATTR`."
            )
        self.rewritten: dict[int, tuple[str, Rewrite]] = {}
        for name, how in rewrite.items():
            a = self._find(name)
            if a in self.excluded:
                raise UsageError(
                    f":{self._ident(a)} is to be both excluded and rewritten", hint="Choose one."
                )
            if a in self.rewritten:
                raise UsageError(f":{self._ident(a)} is to be rewritten in two ways", hint="Choose one.")
            self.rewritten[a] = self._ident(a), how

    def _find(self, name: str) -> int:
        ident = name.removeprefix(":")
        a = self._schema.find(ident)
        attribute = None if a is None else self._schema.attributes.get(a)
        if a is None or attribute is None or attribute.value_type is None:
            known = [
                each.ident for each in self._schema.attributes.values() if each.ident and each.value_type
            ]
            close = get_close_matches(ident, known, n=3)
            raise UsageError(
                f"The source has no attribute :{ident}",
                hint=f"It has {', '.join(':' + each for each in close)}." if close else "",
            )
        if self._schema.is_bookkeeping(a):
            raise UsageError(f":{ident} is what restores write for themselves; it is never copied")
        if a in self._schema.base and ident not in OPTIONAL_BASE:
            raise UsageError(f":{ident} is in Datomic's base schema: the rest of the history depends on it")
        return a

    def _ident(self, a: int) -> str:
        ident = self._schema.attributes[a].ident
        return str(a) if ident is None else ident

    def _composite(self, a: int) -> str | None:
        """Returns the ident of a restored composite tuple that has this attribute as a component, if any."""
        gone = self.excluded if self._exclude_schema else ()
        for entity, attribute in self._schema.attributes.items():
            if a in (attribute.components or ()) and entity not in gone:
                return self._ident(entity)
        return None

    def check_exclusion(self, a: int, ident: str, *, null: bool = False) -> None:
        """Checks that the attribute's datoms can be left out.

        Raises:
            UsageError: other data depends on them.
        """
        attribute = self._schema.attributes[a]
        if "db.unique/identity" in attribute.ever:
            raise UsageError(
                f":{ident} cannot be left out: it is unique, and entities are known by it",
                hint=""
                if attribute.components
                else f"Rewrite it: `rewrite={ident}=hash` keeps equal values equal.",
            )
        if attribute.components is not None and (null or not self._exclude_schema):
            raise UsageError(
                f":{ident} is a composite tuple: the target computes its values by itself",
                hint=f"Leave out the attribute too: `exclude={ident}` `exclude_schema`.",
            )
        composite = self._composite(a)
        if composite is not None:
            raise UsageError(
                f":{ident} cannot be left out: the values of the composite tuple :{composite} are made of it",
                hint=f"Leave that out too: `exclude={composite}` `exclude={ident}` `exclude_schema`.",
            )

    def check_rewriting(self, a: int, ident: str) -> None:
        """Checks that the attribute's values can be rewritten, in any way.

        Raises:
            UsageError: they cannot.
        """
        if a in self._schema.base:
            raise UsageError(f":{ident} is in Datomic's base schema: it can be left out, not rewritten")
        if self._schema.attributes[a].components is not None:
            raise UsageError(f":{ident} is a composite tuple: the target computes its values by itself")
        composite = self._composite(a)
        if composite is not None:
            raise UsageError(
                f":{ident} cannot be rewritten: the values of the composite tuple :{composite} are made of it"
            )


def check_values_stay_distinct(attribute: Attribute, ident: str, rewriter: Rewriter) -> None:
    """Checks that different values stay different where they must.

    Raises:
        UsageError: the rewriter might give one value for two.
    """
    if rewriter.distinct:
        return
    how = rewriter.depends["how"]
    if attribute.ever & {"db.unique/identity", "db.unique/value"}:
        why = f":{ident} is or was unique: with {how} two entities might get one value"
    elif "db.cardinality/many" in attribute.ever:
        why = f":{ident} has or had cardinality many: with {how} two values of an entity might become one"
    else:
        return
    having = f"Let {how} have" if rewriter.way == "function" else "Use a function that has"
    digest = f", or use `rewrite={ident}=hash`" if rewriter.kind in HASHED_KINDS else ""
    raise UsageError(
        why,
        hint=f"{having} an attribute inverse, a function that gives each value back{digest}. "
        "docs/restore-rules.md has an example.",
    )
