"""Filters: what is left out of a history, and what is rewritten, before it reaches a target.

A filter is made from the options and the schema after the source's last transaction. It knows attributes by
id over the whole history, so it also works on datoms from before an attribute got its present ident.
Restoring and verifying use the same filter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from asyncrestore.errors import RewriteFailed
from asyncrestore.filters.request import (
    OPTIONAL_BASE,
    UNNEEDED,
    FilterRequest,
    check_values_stay_distinct,
)
from asyncrestore.filters.rewrites import make_rewriter
from asyncrestore.model.log import Transaction
from asyncrestore.model.schema import Schema
from asyncrestore.model.values import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncrestore.filters.rewrites import Rewrite, Rewriter
    from asyncrestore.history.base import History
    from asyncrestore.model.log import Datom


@dataclass(slots=True)
class FilteredAttribute:
    """What a filter did to an attribute.

    Attributes:
        attribute: its ident, without the colon.
        left_out: datoms that are not in the target: those of an excluded attribute (and, on request, its
            schema), and changes between two values that rewriting made equal.
        rewritten: datoms that have another value in the target.
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
        rewrite: how to rewrite the values of attributes, by ident.
        key: the secret for `hash` and `fake`.

    Attributes:
        rules: what the filter does, as a target records it.
        done: what the filter did so far, by attribute.

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
        base = {ident: entity for entity, ident in schema.base.items()}
        # Datomic writes a datom for each attribute that is installed or altered, with it as the value.
        self._alter = base.get("db.alter/attribute", -1)
        self._about = {base.get("db.install/attribute", -1), self._alter}
        self._altering = {base[ident] for ident in base.keys() - {"db/ident", "db/doc"}}
        self._optional = {base[ident] for ident in OPTIONAL_BASE & base.keys()}
        self.rules: list[str] = []
        self.done: list[FilteredAttribute] = []
        request = FilterRequest(schema, exclude, rewrite or {}, exclude_schema=exclude_schema)
        for a, ident in request.excluded.items():
            request.check_exclusion(a, ident)
            self._dropped[a] = self._add(ident)
            if exclude_schema and a not in schema.base:
                self._hidden[a] = self._dropped[a]
            self._record(a, ident, {"how": "exclude with schema" if a in self._hidden else "exclude"})
        for a, (ident, how) in request.rewritten.items():
            if how == "null":
                request.check_exclusion(a, ident, null=True)
                self._dropped[a] = self._add(ident)
                self._record(a, ident, {"how": "null"})
                continue
            request.check_rewriting(a, ident)
            attribute = schema.attributes[a]
            rewriter = make_rewriter(how, ident, attribute.value_type or "", key)
            check_values_stay_distinct(attribute, ident, rewriter)
            self._rewritten[a] = rewriter, self._add(ident)
            self._record(a, ident, rewriter.depends)

    def _add(self, ident: str) -> FilteredAttribute:
        self.done.append(FilteredAttribute(ident))
        return self.done[-1]

    def _record(self, a: int, ident: str, depends: dict[str, str]) -> None:
        self.rules.append(_rule(a, ident, depends))

    def fit(self, lacking: Mapping[int, str]) -> None:
        """Leaves out, too, what a target lacks and does without.

        Args:
            lacking: of the source's base schema, the idents by entity id that the target does not have.
        """
        for a, ident in sorted(lacking.items()):
            if ident in UNNEEDED and a not in self._dropped:
                self._dropped[a] = self._add(ident)
                # Without the attribute, so that all such rules are one.
                self.rules.append(_rule(None, ident, _FIT))

    def hide(self, schema: Schema) -> None:
        """Takes the attributes that are excluded with their schema out of a schema.

        A restore that begins with the first transaction never sees them. One that continues must not either.
        """
        for attribute in self._hidden:
            schema.attributes.pop(attribute, None)

    def leaves_out(self, e: int, a: int) -> bool:
        """Returns whether datoms of this entity and attribute are left out."""
        return a in self._dropped or e in self._hidden

    def apply(self, transaction: Transaction) -> Transaction:
        """Returns the transaction as it is to be in the target.

        Raises:
            RewriteFailed: a value cannot be rewritten.
        """
        dropped, hidden, rewritten = self._dropped, self._hidden, self._rewritten
        kept: list[Datom] = []
        changed: dict[tuple[int, int, Any], set[bool]] = {}
        altered: dict[int, FilteredAttribute] = {}
        for datom in transaction.datoms:
            e, a, kind, raw, added = datom
            if a in dropped:
                dropped[a].left_out += 1
                if a in self._optional:
                    altered[e] = dropped[a]
            elif e in hidden:
                hidden[e].left_out += 1
            elif a in self._about and raw in hidden:
                hidden[raw].left_out += 1
            elif a in rewritten:
                rewriter, done = rewritten[a]
                done.rewritten += 1
                new = _rewrite(rewriter, done.attribute, transaction.t, datom)
                kept.append((e, a, kind, new, added))
                changed.setdefault((e, a, new), set()).add(added)
            else:
                kept.append(datom)
        if altered:
            kept = self._without_alterations(kept, altered)
        if changed:
            kept = self._without_idle(kept, changed)
        return Transaction.of(transaction.tx, kept)

    def _without_alterations(self, datoms: list[Datom], altered: dict[int, FilteredAttribute]) -> list[Datom]:
        """Drops the engine's notes that an attribute was altered where nothing else of it changed."""
        still = {d[0] for d in datoms if d[1] in self._altering}
        kept = []
        for datom in datoms:
            raw = datom[3]
            if datom[1] == self._alter and raw in altered and raw not in still:
                altered[raw].left_out += 1
            else:
                kept.append(datom)
        return kept

    def _without_idle(
        self, datoms: list[Datom], changed: dict[tuple[int, int, Any], set[bool]]
    ) -> list[Datom]:
        """Drops changes between two values that rewriting made equal."""
        idle = {key for key, signs in changed.items() if len(signs) == 2}
        if not idle:
            return datoms
        kept = []
        for datom in datoms:
            e, a, _, raw, _ = datom
            if a in self._rewritten and (e, a, raw) in idle:
                done = self._rewritten[a][1]
                done.rewritten -= 1
                done.left_out += 1
            else:
                kept.append(datom)
        return kept


async def make_filter(
    history: History,
    *,
    exclude: Iterable[str],
    exclude_schema: bool,
    rewrite: Mapping[str, Rewrite] | None,
    key: bytes | None,
    fit: bool,
) -> Filter | None:
    """Makes the filter for a history's schema; returns None if nothing is to be filtered.

    The arguments are those of `Filter`, and `fit`: whether `Filter.fit` is to be called.

    Raises:
        UsageError: see `Filter`.
    """
    if not (exclude or exclude_schema or rewrite or fit):
        return None
    # To fit a target takes no schema, which is not known where a later part cannot be used.
    schema = await history.schema() if exclude or exclude_schema or rewrite else Schema(dict(history.base))
    # In a thread: a function to rewrite with may have to be imported.
    return await to_thread.run_sync(
        lambda: Filter(schema, exclude=exclude, exclude_schema=exclude_schema, rewrite=rewrite, key=key)
    )


_FIT = {"how": "fit target"}


def _rule(a: int | None, ident: str, depends: dict[str, str]) -> str:
    return json.dumps({"attribute": a, "ident": ident, **depends}, sort_keys=True, ensure_ascii=False)


_CORRECT = (
    "Correct it and run this again; if it then gives others for earlier values, restore into a new database. "
    "The whole traceback, which may contain the value, is in the cause (`debug`)."
)


def _rewrite(rewriter: Rewriter, ident: str, t: int, datom: Datom) -> Any:
    if datom[2] != rewriter.kind:
        why = f"it is a {KINDS[datom[2]]}, not a {KINDS[rewriter.kind]}"
        raise _failure(t, datom[0], ident, why, hint=f"Restore into a new database with `exclude={ident}`.")
    try:
        return rewriter.rewrite(datom[3])
    except Exception as exc:  # whatever somebody's function raises
        why = f"{rewriter.depends['how']}: {exc}"
        raise _failure(t, datom[0], ident, why, hint=_CORRECT) from exc


def _failure(t: int, entity: int, ident: str, why: str, *, hint: str) -> RewriteFailed:
    return RewriteFailed(
        f"t {t}: the value of :{ident} of entity {entity} cannot be rewritten: {why}",
        t=t,
        entity=entity,
        attribute=ident,
        hint=hint,
    )


def _meaning(rule: str) -> str:
    """Returns a rule without its attribute's ident, which may have changed since the rule was recorded."""
    return json.dumps({**json.loads(rule), "ident": None}, sort_keys=True)


def goes_on(recorded: Iterable[str], rules: Iterable[str]) -> bool:
    """Returns whether what was restored with the recorded rules can be continued and verified with these.

    They do the same, or these also fit it to the target: what the target lacks was refused before, so nothing
    of it was in the history.
    """
    before, now = set(map(_meaning, recorded)), set(map(_meaning, rules))
    return now in (before, before | {_meaning(_rule(None, "", _FIT))})


def describe(rules: Iterable[str]) -> str:
    """Describes in words what a filter does."""
    words = []
    for rule in map(json.loads, rules):
        on = [f"{word} {rule[name]}" for word, name in (("key", "key"), ("Faker", "faker")) if name in rule]
        words.append(f":{rule['ident']} {rule['how']}" + (f" ({', '.join(on)})" if on else ""))
    return "; ".join(sorted(words)) or "nothing left out or rewritten"
