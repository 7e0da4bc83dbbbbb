"""Code in a history: which of its datoms name code that an engine calls, or are code.

The engines call each function that `:db.attr/preds` and `:db.entity/preds` name, with what is transacted. A
database function (`:db/fn`, in Datomic Pro) is code itself. So whoever can write to a store could have any
function called by those who restore from it: nothing of these reaches a target unless it is allowed by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.errors import UsageError
from asyncrestore.model.log import tx_to_t
from asyncrestore.model.values import FUNCTION, REF, SYMBOL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from asyncrestore.model.log import Datom
    from asyncrestore.model.values import Raw

CODE = frozenset({"db.attr/preds", "db.entity/preds", "db/fn", "db/code", "db/ensure"})
"""Attributes of the base schemas whose values name code or are code.

`:db/code` is what functions were in versions of Pro before `:db/fn`. `:db/ensure` is in no log: Datomic calls
what it asks for and notes nothing. In a history that somebody made it names an entity with predicates.
"""

ALL = "all"

_NEVER = (
    "clojure", "java", "javax", "jdk", "sun", "com.sun", "cognitect", "com.cognitect", "datomic",
    "com.datomic", "asyncrestore",
    # The engines look a symbol up in clojure.core, which has this alias for clojure.java.io.
    "jio",
)  # fmt: skip
"""First parts of the namespaces of which nothing is ever allowed: what every JVM of a target has."""


@dataclass(frozen=True, slots=True, order=True)
class Code:
    """Something in a history that names code or is code.

    Attributes:
        name: what allows it: of a predicate its symbol, as in ``my.app/valid?``; of a function the ident of
            its entity with a colon, as in ``:my/function``, or without an ident the entity id.
        attribute: the ident, without the colon, of the attribute whose value it is.
        entity: the source's id of the entity that has it: an attribute, an entity spec, a function.
        t: of the first transaction that has it.
    """

    name: str
    attribute: str
    entity: int
    t: int


def is_never_allowed(name: str) -> bool:
    """Returns whether a symbol is of a namespace of which nothing is allowed, or has none."""
    if name.startswith(":") or name.isdecimal():
        return False
    # As Clojure reads it: the first slash ends the namespace.
    namespace, _, function = name.partition("/")
    return not (namespace and function) or any(
        namespace == each or namespace.startswith(each + ".") for each in _NEVER
    )


class AllowedCode:
    """What may reach a target.

    Args:
        names: as `Code.name` has them; `ALL` for everything but what is never allowed.

    Attributes:
        everything: whether it is `ALL`.

    Raises:
        UsageError: one of them is never allowed.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = frozenset([names] if isinstance(names, str) else names)
        self.everything = ALL in self._names
        for name in sorted(self._names - {ALL}):
            if is_never_allowed(name):
                raise UsageError(
                    f"{name} cannot be allowed: {_WHY_NEVER}",
                    hint="Name a function of your own with its namespace, such as my.app/valid?.",
                )

    def allows(self, name: str) -> bool:
        """Returns whether this is allowed, given a `Code.name`."""
        return (self.everything or name in self._names) and not is_never_allowed(name)

    def check(self, found: Iterable[Code], where: str) -> None:
        """Checks that all that was found is allowed.

        Raises:
            UsageError: some is not; the message names all of it.
        """
        refused = [code for code in found if not self.allows(code.name)]
        if not refused:
            return
        allowable = sorted({code.name for code in refused if not is_never_allowed(code.name)})
        options = [f"`allow_code={_quoted(name)}`" for name in allowable]
        excludes = [f"`exclude={attribute}`" for attribute in sorted({code.attribute for code in refused})]
        hint = f"Leave it out: {' '.join(excludes)}."
        if options:
            hint = f"Allow what you trust: {' '.join(options)} (or all, if the backup is your own). {hint}"
        if len(allowable) < len({code.name for code in refused}):
            hint += f" Some is never allowed: {_WHY_NEVER}."
        raise UsageError(
            f"{where} has code that is not allowed: {describe(refused)}. Nothing was written.", hint=hint
        )


_WHY_NEVER = f"nothing of the namespaces {', '.join(_NEVER)} is, nor a name without a namespace"


def _quoted(name: str) -> str:
    """Returns a name as a shell takes it; names with a question mark are common."""
    return f"'{name}'" if any(not (letter.isalnum() or letter in "-_./:") for letter in name) else name


def describe(codes: Iterable[Code]) -> str:
    """Describes in words what was found."""
    return ", ".join(f"{code.name} (:{code.attribute}, t {code.t})" for code in codes)


@dataclass(frozen=True, slots=True)
class Found:
    """A datom that names code or is code.

    Attributes:
        code: what it is.
        a: the source's id of its attribute.
        raw: its value.
    """

    code: Code
    a: int
    raw: Raw


def code_attributes(base: Mapping[int, str], rows: Iterable[tuple[int, Datom]] = ()) -> dict[int, str]:
    """Returns the attributes whose values are code, ident by id.

    Args:
        base: idents of the base schema by entity id.
        rows: datoms, among them those of `:db/ident`. A base schema that was upgraded has the later
            attributes in the history itself.
    """
    found = {entity: name for entity, name in base.items() if name in CODE}
    ident = {entity for entity, name in base.items() if name == "db/ident"}
    found.update({e: str(raw) for _, (e, a, _, raw, added) in rows if added and a in ident and raw in CODE})
    return found


def is_code(attributes: Collection[int], datom: Datom) -> bool:
    """Returns whether a datom names code or is code.

    A retraction of a name calls nothing; the function that it retracts is made all the same.
    """
    return datom[2] == FUNCTION or (datom[4] and datom[1] in attributes)


def code_in(rows: Sequence[tuple[int, Datom]], base: Mapping[int, str], start: int) -> list[Found]:
    """Returns what names code or is code, in the order of the log.

    Args:
        rows: datoms with their transaction ids, in any order: those of code, and the idents of what has it.
        base: idents of the base schema by entity id.
        start: the first t that counts; before it only the idents do.
    """
    attributes = code_attributes(base, rows)
    ident = {entity for entity, name in base.items() if name == "db/ident"}
    idents = dict(base)
    for _, (e, a, _, raw, added) in sorted(rows, key=lambda row: row[0]):
        if added and a in ident:
            idents[e] = str(raw)
    found = []
    for tx, datom in sorted(rows, key=lambda row: row[0]):
        e, a, kind, raw, _ = datom
        if tx_to_t(tx) >= start and is_code(attributes, datom):
            named = raw if kind == REF and isinstance(raw, int) else e
            name = str(raw) if kind == SYMBOL else _function(named, idents)
            attribute = attributes.get(a) or idents.get(a) or str(a)
            found.append(Found(Code(name, attribute, e, tx_to_t(tx)), a, raw))
    return found


def _function(entity: int, idents: Mapping[int, str]) -> str:
    return f":{idents[entity]}" if entity in idents else str(entity)


def once(found: Iterable[Found]) -> list[Code]:
    """Returns each name with each attribute once, where it is first."""
    first: dict[tuple[str, str], Code] = {}
    for each in found:
        first.setdefault((each.code.name, each.code.attribute), each.code)
    return list(first.values())
