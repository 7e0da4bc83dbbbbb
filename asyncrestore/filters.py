"""Filters: what of a history is left out, and what is rewritten, before it reaches a target.

A filter is made from what was asked for and the schema after the source's last transaction. It works on attributes by
id, over the whole history: also on datoms from before an attribute got its present ident. Restoring and verifying use
the same one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import RewriteFailed, UsageError
from asyncrestore.model import Transaction
from asyncrestore.rewrites import make_rewriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncrestore.model import Datom
    from asyncrestore.rewrites import Rewrite, Rewriter
    from asyncrestore.schema import Attribute, Schema

CODE = frozenset({"db.attr/preds", "db.entity/preds"})
"""Of the base schema what may be left out: it names functions, which a target may lack, and shapes no data."""


@dataclass(slots=True)
class FilteredAttribute:
    """What a filter did to an attribute.

    Attributes:
        attribute: its ident, without the colon.
        left_out: datoms that are not in the target: those of an excluded attribute (and, on request, its schema), and
            changes from one value to another that became the same by rewriting.
        rewritten: datoms whose value is another one in the target.
    """

    attribute: str
    left_out: int = 0
    rewritten: int = 0


class Filter:
    """Leaves out and rewrites datoms.

    Args:
        schema: after the source's last transaction.
        exclude: idents, present or former, of the attributes whose datoms are left out.
        exclude_schema: leave out these attributes themselves too.
        rewrite: how to rewrite the values of which attributes, by ident.
        key: for `hash` and `fake`.

    Attributes:
        rules: what it does, as a target records it.
        done: what it did so far, by attribute.

    Raises:
        UsageError: an attribute is not in the source, or other data depends on its values.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        exclude: Iterable[str] = (),
        exclude_schema: bool = False,
        rewrite: Mapping[str, Rewrite] | None = None,
        key: bytes | None = None,
    ) -> None:
        self._dropped: dict[int, FilteredAttribute] = {}
        self._hidden: dict[int, FilteredAttribute] = {}
        self._rewritten: dict[int, tuple[Rewriter, FilteredAttribute]] = {}
        # The Pro peer has a datom for each attribute that is installed or altered, with the attribute as its value.
        self._installing = {
            entity
            for entity, ident in schema.base.items()
            if ident in ("db.install/attribute", "db.alter/attribute")
        }
        self.rules: list[str] = []
        self.done: list[FilteredAttribute] = []
        choice = _Choice(schema, exclude, rewrite or {}, exclude_schema=exclude_schema)
        for a, ident in choice.excluded.items():
            choice.check_exclusion(a, ident)
            self._dropped[a] = self._add(ident)
            if exclude_schema and a not in schema.base:
                self._hidden[a] = self._dropped[a]
            self._record(a, ident, {"how": "exclude with schema" if a in self._hidden else "exclude"})
        for a, (ident, how) in choice.rewritten.items():
            if how == "null":
                choice.check_exclusion(a, ident, null=True)
                self._dropped[a] = self._add(ident)
                self._record(a, ident, {"how": "null"})
                continue
            choice.check_rewriting(a, ident)
            attribute = schema.attributes[a]
            rewriter = make_rewriter(how, ident, attribute.value_type or "", key)
            _check_sets(attribute, ident, rewriter)
            self._rewritten[a] = rewriter, self._add(ident)
            self._record(a, ident, rewriter.depends)

    def _add(self, ident: str) -> FilteredAttribute:
        self.done.append(FilteredAttribute(ident))
        return self.done[-1]

    def _record(self, a: int, ident: str, depends: dict[str, str]) -> None:
        self.rules.append(json.dumps({"attribute": a, "ident": ident, **depends}, sort_keys=True))

    def apply(self, transaction: Transaction) -> Transaction:
        """The transaction as it shall be in the target.

        Raises:
            RewriteFailed: a value cannot be rewritten.
        """
        dropped, hidden, rewritten = self._dropped, self._hidden, self._rewritten
        kept: list[Datom] = []
        changed: dict[tuple[int, int, Any], dict[bool, Any]] = {}
        for datom in transaction.datoms:
            e, a, kind, raw, added = datom
            if a in dropped:
                dropped[a].left_out += 1
            elif e in hidden:
                hidden[e].left_out += 1
            elif a in self._installing and raw in hidden:
                hidden[raw].left_out += 1
            elif a in rewritten:
                rewriter, done = rewritten[a]
                done.rewritten += 1
                new = _rewrite(rewriter, done.attribute, transaction.t, datom)
                kept.append((e, a, kind, new, added))
                before = changed.setdefault((e, a, new), {})
                if before.setdefault(added, raw) != raw:
                    raise _failure(
                        transaction.t,
                        e,
                        done.attribute,
                        f"{rewriter.depends['how']} made one value of two that the entity has",
                        hint="What rewrites an attribute of cardinality many must keep its values apart, as hash does.",
                    )
            else:
                kept.append(datom)
        return Transaction(transaction.tx, self._without_idle(kept, changed))

    def _without_idle(
        self, datoms: list[Datom], changed: dict[tuple[int, int, Any], dict[bool, Any]]
    ) -> list[Datom]:
        """Without changes from one value to another that are the same now: nothing changes any more."""
        idle = {key for key, signs in changed.items() if len(signs) == 2}
        for _, a, _ in idle:
            done = self._rewritten[a][1]
            done.rewritten -= 2
            done.left_out += 2
        if not idle:
            return datoms
        return [d for d in datoms if d[1] not in self._rewritten or (d[0], d[1], d[3]) not in idle]


def _rewrite(rewriter: Rewriter, ident: str, t: int, datom: Datom) -> Any:
    try:
        return rewriter.rewrite(datom[3])
    except Exception as exc:  # noqa: BLE001 - whatever somebody's function raises
        why = f"{rewriter.depends['how']}: {type(exc).__name__}: {exc}"
        raise _failure(t, datom[0], ident, why, hint="Correct it and run the same command again.") from exc


def _failure(t: int, entity: int, ident: str, why: str, *, hint: str) -> RewriteFailed:
    return RewriteFailed(
        f"t {t}: the value of :{ident} of entity {entity} cannot be rewritten: {why}",
        t=t,
        entity=entity,
        attribute=ident,
        hint=hint,
    )


class _Choice:
    """The attributes that were asked for, and whether that can be done.

    Attributes:
        excluded: ident by attribute id.
        rewritten: ident, and how, by attribute id.
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
                "There is no schema to exclude without attributes to exclude", hint="Add --exclude ATTR."
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
        if a in self._schema.base and ident not in CODE:
            raise UsageError(f":{ident} is of Datomic's base schema: the rest of the history depends on it")
        return a

    def _ident(self, a: int) -> str:
        return self._schema.attributes[a].ident or str(a)

    def _composite(self, a: int) -> str | None:
        """The ident of a composite tuple that is restored and has this attribute as a component."""
        gone = self.excluded if self._exclude_schema else ()
        for entity, attribute in self._schema.attributes.items():
            if a in (attribute.components or ()) and entity not in gone:
                return self._ident(entity)
        return None

    def check_exclusion(self, a: int, ident: str, *, null: bool = False) -> None:
        """Whether the attribute's datoms can be left out."""
        attribute = self._schema.attributes[a]
        if "db.unique/identity" in attribute.ever:
            raise UsageError(
                f":{ident} cannot be left out: it is unique, and entities are known by it",
                hint=""
                if attribute.components
                else f"Rewrite it: --rewrite {ident}=hash keeps equal values equal.",
            )
        if attribute.components is not None and (null or not self._exclude_schema):
            raise UsageError(
                f":{ident} is a composite tuple: the target computes its values by itself",
                hint=f"Leave out the attribute too: --exclude {ident} --exclude-schema.",
            )
        composite = self._composite(a)
        if composite is not None:
            raise UsageError(
                f":{ident} cannot be left out: the values of the composite tuple :{composite} are made of it",
                hint=f"Leave that out too: --exclude {composite} --exclude {ident} --exclude-schema.",
            )

    def check_rewriting(self, a: int, ident: str) -> None:
        """Whether the attribute's values can be rewritten, in any way."""
        if a in self._schema.base:
            raise UsageError(f":{ident} is of Datomic's base schema: it can be left out, not rewritten")
        if self._schema.attributes[a].components is not None:
            raise UsageError(f":{ident} is a composite tuple: the target computes its values by itself")
        composite = self._composite(a)
        if composite is not None:
            raise UsageError(
                f":{ident} cannot be rewritten: the values of the composite tuple :{composite} are made of it"
            )


def _check_sets(attribute: Attribute, ident: str, rewriter: Rewriter) -> None:
    """Whether different values need to stay different, and do."""
    unique = {"db.unique/identity", "db.unique/value"} & attribute.ever
    if unique and rewriter.way != "hash":
        raise UsageError(
            f":{ident} is or was unique: rewritten with {rewriter.depends['how']}, two entities might get one value",
            hint=f"Use --rewrite {ident}=hash, which keeps different values different.",
        )
    if "db.cardinality/many" in attribute.ever and rewriter.way in ("constant", "fake"):
        raise UsageError(
            f":{ident} has or had cardinality many: rewritten with {rewriter.depends['how']}, "
            "two values of an entity might become one",
            hint=f"Use --rewrite {ident}=hash, which keeps different values different, or a function that does.",
        )


def _meaning(rule: str) -> str:
    """A rule without its attribute's ident, which may have changed since it was recorded."""
    return json.dumps({**json.loads(rule), "ident": None}, sort_keys=True)


def same_rules(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether two filters do the same."""
    return set(map(_meaning, some)) == set(map(_meaning, others))


def describe(rules: Iterable[str]) -> str:
    """What a filter does, in words."""
    words = []
    for rule in map(json.loads, rules):
        on = [f"{word} {rule[name]}" for word, name in (("key", "key"), ("Faker", "faker")) if name in rule]
        words.append(f":{rule['ident']} {rule['how']}" + (f" ({', '.join(on)})" if on else ""))
    return "; ".join(sorted(words)) or "nothing left out or rewritten"
