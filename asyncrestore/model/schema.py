"""A source's attributes as of a transaction of its log, kept up to date from the log itself.

Attributes are known by entity id, not by ident: idents are renamed and reused. Cardinality and uniqueness may
change along the log; the value type and the components of a tuple never do.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import DamageError
from asyncrestore.model.ids import SCHEMA_COUNTER, counter_of
from asyncrestore.model.log import t_to_tx, tx_to_t

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.model.log import Datom, LogChunk

ORIGINAL_ID = "asyncrestore/original-id"
SUCCESSOR = "asyncrestore/successor"
SOURCE = "asyncrestore/source"
COPY = "asyncrestore/copy"
FILTER = "asyncrestore/filter"
PLACEHOLDER = "asyncrestore/placeholder"

OWN_BOOKKEEPING = frozenset({ORIGINAL_ID, SUCCESSOR, SOURCE, COPY, FILTER, PLACEHOLDER})
"""Attributes that a restore by this project installs in the target for itself."""

_PREDECESSOR = "com.fulcrologic.datomic-cloud-backup.cloning"
BOOKKEEPING = OWN_BOOKKEEPING | {f"{_PREDECESSOR}/original-id", f"{_PREDECESSOR}/last-source-transaction"}
"""The same, and those that a restore by the predecessor (`datomic-cloud-backup`) installed."""


@dataclass(slots=True)
class Attribute:
    """An attribute as of a transaction.

    Attributes:
        ident: its name without the colon, None while it has none.
        value_type: such as ``db.type/string``; None for an entity that is not (yet) an attribute.
        many: whether its cardinality is many.
        unique: ``db.unique/identity``, ``db.unique/value`` or None.
        components: for a composite tuple, the ids of the attributes that it is made of.
        ever: each cardinality and uniqueness that it has had so far.
        predicates: symbols of the functions that the engine calls with each value, sorted.
    """

    ident: str | None = None
    value_type: str | None = None
    many: bool = False
    unique: str | None = None
    components: tuple[int, ...] | None = None
    ever: frozenset[str] = frozenset()
    predicates: tuple[str, ...] = ()


def _present(attribute: Attribute) -> frozenset[str]:
    if attribute.value_type is None:
        return frozenset()
    cardinality = "db.cardinality/many" if attribute.many else "db.cardinality/one"
    return frozenset({cardinality, attribute.unique or cardinality})


def _past_of(attributes: dict[int, Attribute]) -> dict[int, list[str]]:
    """Returns each attribute's former cardinalities and uniquenesses, as far as there are any."""
    past = {entity: sorted(a.ever - _present(a)) for entity, a in attributes.items()}
    return {entity: idents for entity, idents in past.items() if idents}


def _predicates_of(attributes: dict[int, Attribute]) -> dict[int, list[str]]:
    return {entity: list(a.predicates) for entity, a in attributes.items() if a.predicates}


class Schema:
    """Attributes by id, as of a transaction, and the entities of the base schema, which never change.

    Attributes:
        base: idents by entity id, of the entities of the base schema.
        attributes: by entity id.
    """

    def __init__(self, base: dict[int, str], attributes: dict[int, Attribute] | None = None) -> None:
        self.base = base
        self.attributes: dict[int, Attribute] = {} if attributes is None else attributes
        self._ids = {ident: entity for entity, ident in base.items()}
        self._named = {a.ident: entity for entity, a in self.attributes.items() if a.ident is not None}
        self._handlers = {
            self._ids[ident]: handler
            for ident, handler in (
                ("db/ident", self._ident),
                ("db/valueType", self._value_type),
                ("db/cardinality", self._cardinality),
                ("db/unique", self._unique),
                ("db/tupleAttrs", self._tuple_attrs),
                ("db.attr/preds", self._predicates),
            )
            if ident in self._ids
        }

    def id_of(self, base_ident: str) -> int:
        """Returns the entity id of an ident of the base schema.

        Raises:
            KeyError: the base schema has no such ident.
        """
        return self._ids[base_ident]

    def is_bookkeeping(self, attribute: int) -> bool:
        """Returns whether the attribute is in `BOOKKEEPING`."""
        known = self.attributes.get(attribute)
        return known is not None and known.ident in BOOKKEEPING

    def touches(self, attributes: Iterable[int]) -> bool:
        """Returns whether datoms of these attributes change the schema."""
        return not self._handlers.keys().isdisjoint(attributes)

    def apply(self, datoms: Iterable[Datom]) -> None:
        """Takes in the datoms of one transaction; those that do not concern the schema are ignored."""
        changes = [datom for datom in datoms if datom[1] in self._handlers]
        # Retractions first, so that the new value of a change stays; idents before the tuples that name
        # components by them.
        order = {self._ids["db/ident"]: 0, self._ids.get("db/tupleAttrs"): 2}
        for e, a, _, raw, added in sorted(changes, key=lambda d: (order.get(d[1], 1), d[4])):
            self._handlers[a](self.attributes.setdefault(e, Attribute()), e, raw, added)

    def _ident(self, attribute: Attribute, e: int, raw: Any, added: bool) -> None:
        if added:
            attribute.ident = raw
            self._named[raw] = e
        elif attribute.ident == raw:
            attribute.ident = None  # in Datomic the old name still leads here, until another entity takes it

    def _value_type(self, attribute: Attribute, _e: int, raw: Any, added: bool) -> None:
        if added:
            attribute.value_type = self.base.get(raw)

    def _cardinality(self, attribute: Attribute, _e: int, raw: Any, added: bool) -> None:
        if added:
            attribute.many = self.base.get(raw) == "db.cardinality/many"
            attribute.ever |= {self.base.get(raw, "")}

    def _unique(self, attribute: Attribute, _e: int, raw: Any, added: bool) -> None:
        attribute.unique = self.base.get(raw) if added else None
        attribute.ever |= {self.base.get(raw, "")}

    def _tuple_attrs(self, attribute: Attribute, _e: int, raw: Any, added: bool) -> None:
        if added:
            unknown = [name for _, name in raw if name not in self._named]
            if unknown:
                raise DamageError(f"The composite {attribute.ident} has the unknown attribute {unknown[0]}")
            attribute.components = tuple(self._named[name] for _, name in raw)

    def _predicates(self, attribute: Attribute, _e: int, raw: Any, added: bool) -> None:
        others = {symbol for symbol in attribute.predicates if symbol != raw}
        attribute.predicates = tuple(sorted({*others, raw} if added else others))

    def find(self, ident: str) -> int | None:
        """Returns the entity that has an ident or had it last, as Datomic resolves idents."""
        return self._named.get(ident)

    def to_json(self) -> dict[str, Any]:
        """Returns the schema as plain data, without entities with an ident that cannot become attributes.

        Segments hold it, and its digest. So it depends on nothing but the history up to here: what it returns
        for one must not change without a new `segment.FORMAT`.
        """
        kept = {entity: a for entity, a in self.attributes.items() if self._may_be_attribute(entity)}
        return {
            "base": {str(entity): ident for entity, ident in self.base.items()},
            "attributes": {
                str(entity): [a.ident, a.value_type, a.many, a.unique, a.components and list(a.components)]
                for entity, a in kept.items()
            },
            # A former name still leads to its attribute, until another takes it.
            "names": {
                name: entity
                for name, entity in self._named.items()
                if entity in kept and kept[entity].ident != name
            },
            # Few attributes have these, and older segments lack them: left out if empty.
            **{
                key: {str(entity): values for entity, values in found.items()}
                for key, found in (("past", _past_of(kept)), ("predicates", _predicates_of(kept)))
                if found
            },
        }

    def digest(self) -> str:
        """Returns the `snapshot_digest` of `to_json`."""
        return snapshot_digest(self.to_json())

    def copy(self) -> Schema:
        """Returns a schema that goes its own way from here."""
        again = Schema(self.base, {entity: replace(a) for entity, a in self.attributes.items()})
        again._named = dict(self._named)
        return again

    def _may_be_attribute(self, entity: int) -> bool:
        """Returns whether an entity is an attribute or may become one: in Pro its ident may come first."""
        if self.attributes[entity].value_type is not None:
            return True
        return entity not in self.base and counter_of(entity) == SCHEMA_COUNTER

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Schema:
        """Makes a schema from what `to_json` returned, or only its base from the base of that."""
        attributes = {
            int(entity): Attribute(
                ident, value_type, many, unique, None if components is None else tuple(components)
            )
            for entity, (ident, value_type, many, unique, components) in data.get("attributes", {}).items()
        }
        for entity, attribute in attributes.items():
            attribute.ever = _present(attribute) | set(data.get("past", {}).get(str(entity), ()))
            attribute.predicates = tuple(sorted(data.get("predicates", {}).get(str(entity), ())))
        schema = cls({int(entity): ident for entity, ident in data["base"].items()}, attributes)
        schema._named.update(data.get("names", {}))
        return schema


def snapshot_text(snapshot: dict[str, Any]) -> str:
    """Returns what `Schema.to_json` returned as JSON, always the same for the same schema."""
    return json.dumps(snapshot, sort_keys=True, separators=(",", ":"))


def snapshot_digest(snapshot: dict[str, Any]) -> str:
    """Returns the SHA-256 of a schema's `snapshot_text`, in hexadecimal digits."""
    return hashlib.sha256(snapshot_text(snapshot).encode()).hexdigest()


class SchemaHistory:
    """The schema of a database at any t, from the whole history of its schema attributes.

    Args:
        schema_log: the datoms of the schema attributes, as `Database.schema_history` returns them.
        bootstrap_t: the t of the database's last bootstrap transaction.

    Attributes:
        base: the base schema, without any attributes.
    """

    def __init__(self, schema_log: LogChunk, bootstrap_t: int) -> None:
        self._bootstrap_t = bootstrap_t
        self._by_tx: dict[int, list[Datom]] = {}
        for tx, datom in schema_log.rows():
            self._by_tx.setdefault(tx, []).append(datom)
        self._txs = sorted(self._by_tx)
        self._digests: dict[int, str] = {}
        self.base = Schema(self._base_idents(bootstrap_t))

    def _base_idents(self, bootstrap_t: int) -> dict[int, str]:
        # :db/ident is the entity that has the value db/ident for itself as the attribute.
        ident = next(
            e for datoms in self._by_tx.values() for e, a, _, raw, _ in datoms if e == a and raw == "db/ident"
        )
        base: dict[int, str] = {}
        for tx in self._txs:
            if tx_to_t(tx) <= bootstrap_t:
                base.update({e: str(raw) for e, a, _, raw, added in self._by_tx[tx] if a == ident and added})
        return base

    def as_of(self, t: int) -> Schema:
        """Returns the schema after the transaction with that t, or the last one before it.

        It has the whole base schema at any t, because not every log has the base schema.
        """
        schema = Schema(self.base.base)
        for tx in self._txs[: self._changes_until(t)]:
            schema.apply(self._by_tx[tx])
        return schema

    def digest_as_of(self, t: int) -> str:
        """Returns the digest of `as_of`, which is the same for all t between two changes of the schema."""
        changes = self._changes_until(t)
        if changes not in self._digests:
            self._digests[changes] = self.as_of(t).digest()
        return self._digests[changes]

    def _changes_until(self, t: int) -> int:
        return bisect_right(self._txs, t_to_tx(max(t, self._bootstrap_t)))
