"""Explains why a target refused a transaction, in the source's terms: which datom it is, and what helps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from asyncrestore.filters.request import OPTIONAL_BASE
from asyncrestore.model.values import REF, STRING

if TYPE_CHECKING:
    from asyncrestore.model.log import Datom, Transaction
    from asyncrestore.model.schema import Attribute, Schema
    from asyncrestore.model.values import Raw

STRING_LIMIT = 4096
"""Longest string in Datomic Local and Cloud, in UTF-16 units; Pro has no limit (its schema reference)."""

DATOM_LIMIT = 100_000
"""Most datoms of a transaction in Datomic Local (measured on 1.0.291)."""

_UNKNOWN = re.compile(r"Unable to resolve entity: :([^\s,]+)")
_NOT_INDEXED = re.compile(r"unique-without-index, :attribute (:[^\s,}]+)")
_NOT_AMONG_ATTRIBUTES = re.compile(r"must be in :db\.part/db partition, found (:[^\s,}]+)")


def blame(schema: Schema, transaction: Transaction, message: str) -> tuple[str, str]:
    """Returns in words which datom probably caused a refusal, and what helps; empty texts if none is found.

    Args:
        schema: of the source, after that transaction or a later one.
        transaction: of the source, filtered, as the target refused it.
        message: the engine's reason.
    """
    found = _cause_in_message(schema, transaction, message)
    if found is not None:
        return found
    unknown = _UNKNOWN.search(message)
    for datom in transaction.datoms:
        e, a, kind, raw, added = datom
        if unknown is not None and unknown[1] in _base_idents(schema, datom):
            return _lacking(schema, datom, unknown[1])
        attribute, name = schema.attributes.get(a), _name(schema, a)
        if attribute is not None and added and _names_predicate(attribute, message):
            predicates = ", ".join(attribute.predicates)
            return (
                f"The target calls {predicates} with each value of {name}, such as that of entity {e}.",
                f"Restore into a new database with `exclude=:db.attr/preds` or `exclude={name}`.",
            )
        if unknown is None and kind == STRING and added and _length(raw) > STRING_LIMIT:
            cause = f"Entity {e} has a string of {_length(raw)} characters in {name}; "
            cause += f"Datomic Local and Cloud take at most {STRING_LIMIT}."
            or_rewrite = "" if a in schema.base else f" or `rewrite={name}=HOW`"
            return cause, f"Restore into a new database with `exclude={name}`{or_rewrite}."
    return "", ""


def _cause_in_message(schema: Schema, transaction: Transaction, message: str) -> tuple[str, str] | None:
    """Returns the cause and what helps, where the engine's message alone is enough."""
    not_indexed = _NOT_INDEXED.search(message)
    if not_indexed is not None:
        cause = f"Datomic Pro makes {not_indexed[1]}, which has values already, unique only if it is indexed."
        return cause, _leave_out(schema, not_indexed[1])
    elsewhere = _NOT_AMONG_ATTRIBUTES.search(message)
    if elsewhere is not None:
        cause = f"{elsewhere[1]} is made of an entity that was there before the attribute: "
        cause += "in the target it is not in the partition of attributes."
        return cause, _leave_out(schema, elsewhere[1])
    if "Tx too large" in message:
        cause = (
            f"It has {len(transaction)} datoms of {len(set(transaction.e))} entities, and a restore adds one "
        )
        cause += f"for each that is new; Datomic Local takes at most {DATOM_LIMIT}."
        return cause, "Restore into a new database with `exclude=ATTRIBUTE`, one that has many of them."
    return None


def _leave_out(schema: Schema, attribute: str) -> str:
    entity = schema.find(attribute.removeprefix(":"))
    if entity in schema.attributes and "db.unique/identity" in schema.attributes[entity].ever:
        return (
            f"{attribute} is a unique identity, which cannot be left out. Restore what is before with "
            "`until_t`, or all into the source's own edition."
        )
    return f"Restore into a new database with `exclude={attribute}` `exclude_schema`."


def _lacking(schema: Schema, datom: Datom, ident: str) -> tuple[str, str]:
    """Explains a datom that needs an entity of the base schema that the target lacks."""
    e, a, _, _, _ = datom
    attribute = schema.attributes.get(e)
    entity = f"{e} (:{attribute.ident})" if attribute is not None and attribute.ident else str(e)
    cause = f"Entity {entity} has a datom of {_name(schema, a)} that needs :{ident}, "
    cause += "which the target's base schema lacks."
    if (
        (a in schema.base and schema.base[a] not in OPTIONAL_BASE)
        and attribute
        and attribute.ident
        and attribute.value_type
    ):
        option = f"`exclude={attribute.ident}` `exclude_schema`"
    else:
        option = f"`exclude={_name(schema, a)}`"
    upgrade = "Upgrade its base schema, if its edition has that (administer-system with :upgrade-schema)"
    return cause, f"{upgrade}, or restore into a new database with {option}."


def _length(text: Raw) -> int:
    """Returns how long a string is for the JVM: a character outside the basic plane counts twice."""
    return len(str(text)) + sum(each > "\uffff" for each in str(text))


def _name(schema: Schema, entity: int) -> str:
    attribute = schema.attributes.get(entity)
    return f":{attribute.ident}" if attribute is not None and attribute.ident else f"attribute {entity}"


def _names_predicate(attribute: Attribute, message: str) -> bool:
    return any(symbol in message for symbol in attribute.predicates)


def _base_idents(schema: Schema, datom: Datom) -> list[str]:
    e, a, kind, raw, _ = datom
    mentioned = [e, a, raw] if kind == REF else [e, a]
    return [schema.base[entity] for entity in mentioned if entity in schema.base]
