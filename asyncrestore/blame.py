"""Why a target refused a transaction, in the source's terms: which datom it is, and what helps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncrestore.model import Transaction
    from asyncrestore.schema import Attribute, Schema

STRING_LIMIT = 4096
"""Characters in a string, in Datomic Local and Cloud; Pro has no limit (Datomic's schema reference)."""


def blame(schema: Schema, transaction: Transaction, message: str) -> tuple[str, str]:
    """Which datom of a refused transaction is probably the cause, and what helps; empty texts when none is.

    Args:
        schema: the source's.
        transaction: as it was to be in the target.
        message: the engine's reason.
    """
    named = set(re.findall(r":([^\s:\"\]\[(){},]+)", message))
    for e, a, kind, raw, added in transaction.datoms:
        attribute = schema.attributes.get(a)
        name = f":{attribute.ident}" if attribute and attribute.ident else f"attribute {a}"
        if kind == "s" and added and isinstance(raw, str) and len(raw) > STRING_LIMIT:
            cause = f"Entity {e} has a string of {len(raw)} characters in {name}; "
            cause += f"Datomic Local and Cloud take at most {STRING_LIMIT}."
            return cause, f"Without it: --exclude {name} or --rewrite {name}=HOW, into a new database."
        if attribute is not None and added and _names_predicate(attribute, message):
            predicates = ", ".join(attribute.predicates)
            return (
                f"The target calls {predicates} with each value of {name}, as that of entity {e}.",
                f"Without it: --exclude :db.attr/preds or --exclude {name}, into a new database.",
            )
        for lacking in _base_idents(schema, e, a, kind, raw):
            if lacking in named:
                help_ = "Upgrade its base schema (Datomic's administer-system with :upgrade-schema)"
                if (attribute := schema.attributes.get(e)) and attribute.ident and attribute.value_type:
                    help_ += f", or --exclude {attribute.ident} --exclude-schema, into a new database"
                cause = f"Entity {e} has a datom of {name} that needs :{lacking}, "
                cause += "which the target's base schema lacks."
                return cause, f"{help_}."
    return "", ""


def _names_predicate(attribute: Attribute, message: str) -> bool:
    return any(symbol in message for symbol in attribute.predicates)


def _base_idents(schema: Schema, e: int, a: int, kind: str, raw: Any) -> list[str]:
    mentioned = [e, a, raw] if kind == "r" else [e, a]
    return [schema.base[entity] for entity in mentioned if entity in schema.base]
