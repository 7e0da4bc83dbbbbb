"""The resolver: turns a source's transaction into data for the target. It does no I/O and never waits.

`docs/restore-rules.md` has each rule with its reason.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import DamageError
from asyncrestore.model import positions
from asyncrestore.model.commit import ATTRIBUTES, ENTITIES, KINDS, RAWS, STRIDE, TxData
from asyncrestore.model.ids import ENTITY_COUNTER, counter_of
from asyncrestore.model.log import INDEX_BITS, t_to_tx, tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID, PLACEHOLDER, SUCCESSOR
from asyncrestore.model.values import LONG, REF, REFERRING_KINDS, TUPLE
from asyncrestore.pipeline.composites import LOOSELY_EQUAL_KINDS, Composites

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from asyncrestore.model.ids import IdCache
    from asyncrestore.model.log import Datom, Transaction
    from asyncrestore.model.state import State
    from asyncrestore.model.values import Raw

_ORIGINAL_ID = positions.ident(ORIGINAL_ID)
_SUCCESSOR = positions.ident(SUCCESSOR)
_PLACEHOLDER = positions.ident(PLACEHOLDER)
_AFTER_TXS = t_to_tx(0) + (1 << INDEX_BITS)  # above all ids in the partitions of schema and transactions

_ALTERING = frozenset({
    "db/valueType", "db/cardinality", "db/unique", "db/isComponent", "db/noHistory", "db/index",
    "db/fulltext", "db/tupleAttrs", "db/tupleType", "db/tupleTypes", "db.attr/preds",
})  # fmt: skip
"""Datomic writes `:db.alter/attribute` by itself when one of these changes for an attribute."""


class Resolver:
    """Turns the source's transactions, one after the other, into data to commit.

    Args:
        state: schema and largest indexes as of before the first transaction; each transaction moves it on.
        cache: target ids by source id, filled by whoever commits. Only a hint: without it the target looks
            ids up itself.
        previous: source id of the transaction restored before the first one.
        tx_offset: how much larger transaction ids are in the target than in the source.

    Attributes:
        schema: of the source, as of after the last transaction resolved.
        seen: the largest indexes up to that transaction.
        base: positions of the base schema's entities, by source id.
    """

    def __init__(self, state: State, cache: IdCache, previous: int, tx_offset: int) -> None:
        self.schema = state.schema
        self.seen = state.seen
        self.cache = cache
        self._previous = previous
        self.tx_offset = tx_offset
        self.base = {entity: positions.ident(name) for entity, name in state.schema.base.items()}
        # Positions of attributes that are final. They are kept here because attributes occur in every datom.
        self._durable = dict(self.base)
        self._composites = Composites(state.schema)
        self._alter = next((e for e, name in state.schema.base.items() if name == "db.alter/attribute"), None)
        self._altering = {e for e, name in state.schema.base.items() if name in _ALTERING}
        self._plain: set[int] = set()  # see `_resolve_plain`
        # Attributes whose datoms are not sent: this one, composites, bookkeeping.
        self._skipped: set[int] = set() if self._alter is None else {self._alter}
        self._classify(state.schema.attributes)

    def resolve(self, transaction: Transaction, without_datoms: Collection[int] = ()) -> TxData:
        """Returns the transaction's data for the target, chained to the transaction resolved before it.

        Args:
            transaction: of the source, as it is to be in the target.
            without_datoms: entities of it all of whose datoms were left out. New ones are made all the same,
                so that later references to them are found.

        Raises:
            DamageError: a datom's attribute is unknown, so the history before it was incomplete.
        """
        tx = transaction.tx
        work = _Work(self, tx)
        for entity in without_datoms:
            work.position(entity)
        plain = self._resolve_plain(work, transaction)
        if not plain:
            self._resolve_rows(work, transaction)
        cas = (positions.lookup(self._previous), _SUCCESSOR, tx)
        self._previous = tx
        self.seen.add_all(set(transaction.e))
        self.seen.add_all(without_datoms)
        if not plain and self.schema.touches(transaction.a):
            self.schema.apply(transaction.datoms)
            self._classify(set(transaction.e))
            self._plain.clear()
        return TxData(tx, work.adds, work.retracts, cas, transaction)

    def _resolve_plain(self, work: _Work, transaction: Transaction) -> bool:
        """Resolves a plain transaction column by column, in a quarter of the time; returns whether it could.

        Most transactions are plain: no rule has to look at single datoms. The only retractions are those that
        the target makes by itself, every attribute is sent as it is and has a final position, and no datom is
        about an attribute or an earlier transaction.
        """
        e, a, kinds, raws = transaction.e, transaction.a, transaction.kinds, transaction.raws
        entities = set(e)
        entities.discard(work.tx)
        if entities and min(entities) < _AFTER_TXS:
            return False
        if not self._plain.issuperset(a) and not self._are_plain(set(a)):
            return False
        if "-" in transaction.added:
            sent = self._sent(transaction)
            if sent is None:
                return False
            e, a, raws = (list(compress(column, sent)) for column in (e, a, raws))
            kinds = "".join(compress(kinds, sent))
        if REF in kinds:
            entities.update(raw for kind, raw in zip(kinds, raws, strict=True) if kind == REF)
        for entity in entities:
            work.position(entity)
        known = work.known
        known[work.tx] = positions.TX
        if REF in kinds:
            raws = [known[raw] if kind == REF else raw for kind, raw in zip(kinds, raws, strict=True)]
        flat: list[Any] = [None] * (STRIDE * len(raws))
        flat[ENTITIES] = map(known.__getitem__, e)
        flat[ATTRIBUTES] = map(self._durable.__getitem__, a)
        flat[KINDS] = kinds
        flat[RAWS] = raws
        work.adds += flat
        return True

    def _sent(self, transaction: Transaction) -> list[bool] | None:
        """Returns which datoms are sent: the assertions, if the target makes every retraction by itself.

        That is so where each retraction follows the assertion that replaces its value. Returns None if there
        is another one, which needs the closer look of `_replaced`.
        """
        added = transaction.added
        places = list(zip(transaction.e, transaction.a, strict=True))
        changed: set[tuple[int, int]] = set()
        for i, (sign, place) in enumerate(zip(added, places, strict=True)):
            if sign == "+":
                continue
            follows = i > 0 and added[i - 1] == "+" and places[i - 1] == place
            if not follows or place in changed or self.schema.attributes[place[1]].many:
                return None
            changed.add(place)
        return [sign == "+" for sign in added]

    def _are_plain(self, attributes: set[int]) -> bool:
        """Notes which attributes are plain (see `_resolve_plain`); returns whether all of them are."""
        for a in attributes - self._plain:
            attribute = self.schema.attributes.get(a)
            if attribute is None or a in self._skipped or attribute.value_type == "db.type/tuple":
                return False
            if self.schema.touches((a,)) or self.attribute(a) is None:
                return False
            self._plain.add(a)
        return True

    def _resolve_rows(self, work: _Work, transaction: Transaction) -> None:
        """Resolves any transaction, datom by datom."""
        tx, datoms = transaction.tx, transaction.datoms
        replaced = self._replaced(datoms)
        attributes, skipped = self.schema.attributes, self._skipped
        known, durable, adds, retracts = work.known, self._durable, work.adds, work.retracts
        # What most datoms need is done without a call.
        for e, a, kind, raw, added in datoms:
            if a in skipped:
                self._handle_skipped(work, datoms, e, a, raw)
                continue
            if a not in attributes and a not in self.base:
                raise DamageError(f"t {tx_to_t(tx)}: entity {e} has a datom of the unknown attribute {a}")
            if not added and replaced and replaced.get((e, a)) == (kind, raw):
                # The target retracts the old value of a cardinality-one attribute by itself. If that was sent
                # as well, it would be in the log twice. Only a second retraction is sent: it is the user's.
                del replaced[e, a]
                continue
            entity = known.get(e) or work.position(e)
            attribute = durable.get(a) or work.attribute(a)
            operation = (entity, attribute, kind, work.value(kind, raw) if kind in REFERRING_KINDS else raw)
            if kind == REF and counter_of(e) != ENTITY_COUNTER and e != tx:
                work.keep_apart(raw)
            if added:
                adds += operation
            else:
                retracts += operation
        self._complete(work, datoms)

    def _handle_skipped(self, work: _Work, datoms: list[Datom], e: int, a: int, raw: Any) -> None:
        """Does what a datom that is not sent requires; most require nothing."""
        if a == self._alter:
            self._alter_again(work, datoms, raw)
        elif self.schema.is_bookkeeping(a):
            # In a filtered copy it may be all that is said of an entity that later ones refer to.
            work.position(e)

    def _complete(self, work: _Work, datoms: list[Datom]) -> None:
        """Adds the operations that no datom of the source stands for."""
        for e, component, kind, raw, added in self._composites.recomputations(datoms):
            operations = work.adds if added else work.retracts
            operations += (work.position(e), work.attribute(component), kind, work.value(kind, raw))
        if work.apart:
            made = {datom[0] for datom in datoms}
            for entity, position in work.apart.items():
                # An attribute that this transaction makes belongs in the partition of attributes.
                if counter_of(entity) == ENTITY_COUNTER or entity not in made:
                    work.adds += (positions.TX, _PLACEHOLDER, REF, position)

    def _replaced(self, datoms: list[Datom]) -> dict[tuple[int, int], tuple[str, Raw]]:
        """Returns the old values of the cardinality-one changes, by entity and attribute.

        Datomic's own retraction of the old value follows the assertion in the log. If the user retracted the
        old value as well, a second retraction is elsewhere in the log, perhaps of another value that Datomic
        takes for the same. If there was no old value, the user's retraction of what Local takes for the new
        one is there alone, and not after the assertion.
        """
        replaced: dict[tuple[int, int], tuple[str, Raw]] = {}
        if all(datom[4] for datom in datoms):
            return replaced
        attributes = self.schema.attributes
        asserted = {(d[0], d[1]) for d in datoms if d[4] and d[1] in attributes and not attributes[d[1]].many}
        previous: tuple[int, int] | None = None
        for e, a, kind, raw, added in datoms:
            place = e, a
            follows, previous = previous == place, place if added else None
            if (
                not added
                and place in asserted
                and (follows or not (place in replaced or kind in LOOSELY_EQUAL_KINDS))
            ):
                replaced[place] = kind, raw
        return replaced

    def _classify(self, entities: Iterable[int]) -> None:
        """Notes which entities are attributes that are not sent: bookkeeping, and composite tuples."""
        for entity in entities:
            if self._composites.note(entity) or self.schema.is_bookkeeping(entity):
                self._skipped.add(entity)

    def _alter_again(self, work: _Work, datoms: list[Datom], attribute: Any) -> None:
        """Makes the target note an alteration of an attribute that changed nothing.

        Datomic writes that note as soon as a transaction retracts something of an attribute, whether it is
        there or not, and drops the note itself if it is sent. So a uniqueness is retracted that the attribute
        does not have.
        """
        if any(e == attribute and a in self._altering for e, a, *_ in datoms):
            return
        known = self.schema.attributes.get(attribute)
        other = "identity" if known and known.unique == "db.unique/value" else "value"
        unique, value = (self.schema.id_of(name) for name in ("db/unique", f"db.unique/{other}"))
        work.retracts += (work.position(attribute), work.attribute(unique), REF, work.position(value))

    def attribute(self, a: int) -> int | None:
        """Returns the position of an attribute if it is final: an ident of the base schema or a cached id."""
        position = self._durable.get(a)
        if position is None and not self.seen.is_new(a):
            position = self.cache.get(a)
            if position is not None:
                self._durable[a] = position
        return position


class _Work:
    """A transaction that is being resolved.

    Attributes:
        tx: source id of the transaction.
        known: positions of the entities met in it so far, by source id.
        adds: assertions, as in `TxData`.
        retracts: retractions, as in `TxData`.
        apart: positions of the entities that must not get into the partition of one that refers to them, by
            source id.
    """

    def __init__(self, resolver: Resolver, tx: int) -> None:
        self._resolver = resolver
        self.tx = tx
        self.known: dict[int, int] = {}
        self.apart: dict[int, int] = {}
        self.adds: list[Any] = [positions.TX, _ORIGINAL_ID, LONG, tx]
        self.retracts: list[Any] = []

    def position(self, entity: int) -> int:
        """Returns the position of an entity; an entity met for the first time is made."""
        known = self.known.get(entity)
        if known is None:
            known = self.known[entity] = self._find_position(entity)
        return known

    def _find_position(self, entity: int) -> int:
        base = self._resolver.base.get(entity)
        if base is not None:
            return base
        if entity == self.tx:
            return positions.TX
        if self.tx < entity < _AFTER_TXS:
            # A transaction that is still to come, perhaps with facts already (Local allows that): no other
            # entity can stand in for it until then.
            return entity + self._resolver.tx_offset
        if self._resolver.seen.is_new(entity):
            position = positions.tempid(entity)
            # Also for an entity that is only referred to: a tempid that is only in value position is refused.
            self.adds += (position, _ORIGINAL_ID, LONG, entity)
            return position
        target = self._resolver.cache.get(entity)
        return positions.lookup(entity) if target is None else target

    def attribute(self, a: int) -> int:
        """Returns the position of an attribute."""
        if a in self.known:
            return self.known[a]
        position = self._resolver.attribute(a)
        return self.position(a) if position is None else position

    def keep_apart(self, entity: Any) -> None:
        """Notes an entity that an attribute or a transaction refers to, if it is new in this transaction.

        As a component of that owner it would get an id among those of attributes or transactions, which Local
        then gives to another entity again. The last of an entity's owners in a transaction decides.
        """
        position = self.known[entity]
        if positions.is_tempid(position):
            self.apart[entity] = position

    def value(self, kind: str, raw: Any) -> Any:
        """Returns a raw value with the references in it as positions."""
        if kind == REF:
            return self.position(raw)
        if kind == TUPLE:
            return tuple(None if slot is None else (slot[0], self.value(slot[0], slot[1])) for slot in raw)
        return raw
