"""The resolver: a source's transaction as data for the target. It asks nobody anything and never waits.

Docs: `docs/restore-rules.md` has each rule with its reason.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

from asyncrestore import positions
from asyncrestore.blame import blame
from asyncrestore.composites import SPELLED, Composites
from asyncrestore.errors import DamageError, TransactionRejected
from asyncrestore.ids import ENTITY_COUNTER, TX_COUNTER, counter_of
from asyncrestore.model import INDEX_BITS, TxData, t_to_tx, tx_to_t
from asyncrestore.schema import ORIGINAL_ID, PLACEHOLDER, SUCCESSOR

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from asyncrestore.ids import IdCache
    from asyncrestore.model import Datom, Transaction
    from asyncrestore.state import State
    from asyncrestore.values import Raw

_ORIGINAL_ID = positions.ident(ORIGINAL_ID)
_SUCCESSOR = positions.ident(SUCCESSOR)
_PLACEHOLDER = positions.ident(PLACEHOLDER)
_LOWEST_PLAIN = t_to_tx(0) + (1 << INDEX_BITS)  # above the partitions of schema and transactions

_ALTERING = frozenset({
    "db/valueType", "db/cardinality", "db/unique", "db/isComponent", "db/noHistory", "db/index",
    "db/fulltext", "db/tupleAttrs", "db/tupleType", "db/tupleTypes", "db.attr/preds",
})  # fmt: skip
"""Where one of these of an attribute changes, Datomic writes `:db.alter/attribute` by itself."""


class Resolver:
    """Turns the source's transactions, one after the other, into data to commit.

    Args:
        state: schema and largest indexes as of before the first transaction; moved on by each.
        cache: target ids of source ids, filled by whoever commits. Only a hint: without it the target looks
            ids up itself.
        previous: source id of the transaction restored before the first one.
        tx_offset: how much larger transaction ids are in the target than in the source.
    """

    def __init__(self, state: State, cache: IdCache, previous: int, tx_offset: int) -> None:
        self._schema = state.schema
        self.seen = state.seen
        self.cache = cache
        self._previous = previous
        self.tx_offset = tx_offset
        self.base = {entity: positions.ident(name) for entity, name in state.schema.base.items()}
        # Positions of attributes that hold for good: they occur all the time.
        self._durable = dict(self.base)
        self._composites = Composites(state.schema)
        self._excise = next((e for e, name in state.schema.base.items() if name == "db/excise"), None)
        self._alter = next((e for e, name in state.schema.base.items() if name == "db.alter/attribute"), None)
        self._altering = {e for e, name in state.schema.base.items() if name in _ALTERING}
        self._plain: set[int] = set()  # see `_resolve_plain`
        # Datoms of these attributes are not sent: these two, composites, bookkeeping.
        self._skipped: set[int] = {a for a in (self._excise, self._alter) if a is not None}
        self._classify(state.schema.attributes)

    def resolve(self, transaction: Transaction, others: Collection[int] = ()) -> TxData:
        """The transaction's data for the target, chained to the transaction resolved before.

        Args:
            transaction: of the source, as it shall be in the target.
            others: entities of it all of whose datoms were left out. New ones are made all the same: what
                refers to them later then finds them.

        Raises:
            DamageError: a datom's attribute is not known: the history before it was not complete.
            TransactionRejected: it asks for an excision.
        """
        tx = transaction.tx
        work = _Work(self, tx)
        for entity in others:
            work.position(entity)
        if not self._resolve_plain(work, transaction):
            self._resolve_rows(work, transaction)
        cas = (positions.lookup(self._previous), _SUCCESSOR, tx)
        self._previous = tx
        self.seen.add_all(set(transaction.e))
        self.seen.add_all(others)
        if self._schema.touches(transaction.a):
            self._schema.apply(transaction.datoms)
            self._classify(set(transaction.e))
            self._plain.clear()
        return TxData(tx, work.adds, work.retracts, cas, transaction)

    def _resolve_plain(self, work: _Work, transaction: Transaction) -> bool:
        """Resolves most transactions, column by column, in a fourth of the time; answers whether it did.

        That is where nothing is retracted but what the target retracts by itself, every attribute is sent as
        it is and has a place of its own for good, and nothing is said of attributes and earlier transactions:
        no rule needs to look at a datom.
        """
        e, a, kinds, raws = transaction.e, transaction.a, transaction.kinds, transaction.raws
        entities = set(e)
        entities.discard(work.tx)
        if entities and min(entities) < _LOWEST_PLAIN:
            return False
        if not self._plain.issuperset(a) and not self._are_plain(set(a)):
            return False
        if "-" in transaction.added:
            sent = self._sent(transaction)
            if sent is None:
                return False
            e, a, raws = (list(compress(column, sent)) for column in (e, a, raws))
            kinds = "".join(compress(kinds, sent))
        if "r" in kinds:
            entities.update(raw for kind, raw in zip(kinds, raws, strict=True) if kind == "r")
        for entity in entities:
            work.position(entity)
        known = work.known
        known[work.tx] = positions.TX
        if "r" in kinds:
            raws = [known[raw] if kind == "r" else raw for kind, raw in zip(kinds, raws, strict=True)]
        flat: list[Any] = [None] * (4 * len(raws))
        flat[0::4] = map(known.__getitem__, e)
        flat[1::4] = map(self._durable.__getitem__, a)
        flat[2::4] = kinds
        flat[3::4] = raws
        work.adds += flat
        return True

    def _sent(self, transaction: Transaction) -> list[bool] | None:
        """Which datoms are assertions, if every retraction is of the value that the one before it replaces.

        None if there is any other: what `_replaced` says of these needs a closer look.
        """
        added = transaction.added
        places = list(zip(transaction.e, transaction.a, strict=True))
        changed: set[tuple[int, int]] = set()
        for i, (sign, place) in enumerate(zip(added, places, strict=True)):
            if sign == "+":
                continue
            follows = i > 0 and added[i - 1] == "+" and places[i - 1] == place
            if not follows or place in changed or self._schema.attributes[place[1]].many:
                return None
            changed.add(place)
        return [sign == "+" for sign in added]

    def _are_plain(self, attributes: set[int]) -> bool:
        """Notes which attributes are plain; answers whether all of them are."""
        for a in attributes - self._plain:
            attribute = self._schema.attributes.get(a)
            if attribute is None or a in self._skipped or attribute.value_type == "db.type/tuple":
                return False
            if self._schema.touches((a,)) or self.attribute(a) is None:
                return False
            self._plain.add(a)
        return True

    def _resolve_rows(self, work: _Work, transaction: Transaction) -> None:
        """Resolves any transaction, datom by datom."""
        tx, datoms = transaction.tx, transaction.datoms
        replaced = self._replaced(datoms)
        attributes, skipped = self._schema.attributes, self._skipped
        known, durable, adds, retracts = work.known, self._durable, work.adds, work.retracts
        # What most datoms need is done without a call.
        for e, a, kind, raw, added in datoms:
            if a in skipped:
                self._skip(work, datoms, e, a, raw)
                continue
            if a not in attributes:
                raise DamageError(f"t {tx_to_t(tx)}: entity {e} has a datom of the unknown attribute {a}")
            if not added and replaced and replaced.get((e, a)) == (kind, raw):
                # The target retracts the old value of a cardinality-one attribute by itself; sent too, the
                # retraction would be in its log twice. So only a second one is sent, which the user said.
                del replaced[e, a]
                continue
            entity = known.get(e) or work.position(e)
            attribute = durable.get(a) or work.attribute(a)
            operation = (entity, attribute, kind, work.value(kind, raw) if kind in "rt" else raw)
            if kind == "r" and counter_of(e) != ENTITY_COUNTER and e != tx:
                work.keep_apart(raw)
            if added:
                adds += operation
            else:
                retracts += operation
        self._complete(work, datoms)

    def _skip(self, work: _Work, datoms: list[Datom], e: int, a: int, raw: Any) -> None:
        """Does what a datom needs that is not sent; most need nothing."""
        if a == self._excise:
            raise _excision(work.tx, e)
        if a == self._alter:
            self._alter_again(work, datoms, raw)

    def _complete(self, work: _Work, datoms: list[Datom]) -> None:
        """Adds what no datom of the source tells the target to do."""
        for e, component, kind, raw, added in self._composites.unsaid(datoms):
            said = work.adds if added else work.retracts
            said += (work.position(e), work.attribute(component), kind, work.value(kind, raw))
        if work.apart:
            made = {datom[0] for datom in datoms}
            for entity, position in work.apart.items():
                # An attribute that is made here belongs into the partition of attributes.
                if counter_of(entity) == ENTITY_COUNTER or entity not in made:
                    work.adds += (positions.TX, _PLACEHOLDER, "r", position)

    def _replaced(self, datoms: list[Datom]) -> dict[tuple[int, int], tuple[str, Raw]]:
        """The old values of the cardinality-one changes, by entity and attribute.

        The source may have been told to retract the old value, too: then a second retraction stands in its
        log, elsewhere and perhaps of another value that Datomic takes for the same. Its own follows the
        assertion. Where there was no old value, a retraction of what Local takes for the new one stands
        alone, elsewhere.
        """
        replaced: dict[tuple[int, int], tuple[str, Raw]] = {}
        if all(datom[4] for datom in datoms):
            return replaced
        attributes = self._schema.attributes
        asserted = {(d[0], d[1]) for d in datoms if d[4] and d[1] in attributes and not attributes[d[1]].many}
        previous: tuple[int, int] | None = None
        for e, a, kind, raw, added in datoms:
            place = e, a
            follows, previous = previous == place, place if added else None
            if not added and place in asserted and (follows or not (place in replaced or kind in SPELLED)):
                replaced[place] = kind, raw
        return replaced

    def _classify(self, entities: Iterable[int]) -> None:
        """Finds which of them are attributes that are not sent: bookkeeping, and what the target computes."""
        for entity in entities:
            if self._composites.note(entity) or self._schema.is_bookkeeping(entity):
                self._skipped.add(entity)

    def blame(self, transaction: Transaction, message: str) -> tuple[str, str]:
        """See `blame.blame`."""
        return blame(self._schema, transaction, message)

    def _alter_again(self, work: _Work, datoms: list[Datom], attribute: Any) -> None:
        """Makes the target note that an attribute was altered by what changed nothing.

        Datomic notes that as soon as it is told to retract something of an attribute, be it there or not;
        the note itself it does not take. So a uniqueness is retracted that the attribute does not have.
        """
        if any(e == attribute and a in self._altering for e, a, *_ in datoms):
            return
        known = self._schema.attributes.get(attribute)
        other = "identity" if known and known.unique == "db.unique/value" else "value"
        unique, value = (self._schema.id_of(name) for name in ("db/unique", f"db.unique/{other}"))
        work.retracts += (work.position(attribute), work.attribute(unique), "r", work.position(value))

    def attribute(self, a: int) -> int | None:
        """The position of an attribute where it holds for good."""
        position = self._durable.get(a)
        if position is None and not self.seen.is_new(a):
            position = self.cache.get(a)
            if position is not None:
                self._durable[a] = position
        return position


def _excision(tx: int, entity: int) -> TransactionRejected:
    """Replayed, it would excise by the source's t what the target holds, also what came after."""
    return TransactionRejected(
        f"Source t {tx_to_t(tx)}: entity {entity} asks for an excision (:db/excise), which is not replayed",
        t=tx_to_t(tx),
        # All that a request may have: Local refuses the rest of one too.
        hint="What was excised is not in the source's log any more. Without the request: "
        "--exclude :db/excise --exclude :db.excise/attrs --exclude :db.excise/before "
        "--exclude :db.excise/beforeT, into a new database.",
    )


class _Work:
    """One transaction being resolved.

    Attributes:
        tx: source id of the transaction.
        known: positions of the source entities met in it so far.
        adds: assertions, as in `TxData`.
        retracts: retractions, likewise.
        apart: positions of the entities that must not get into the partition of one that refers to them.
    """

    def __init__(self, resolver: Resolver, tx: int) -> None:
        self._resolver = resolver
        self.tx = tx
        self.known: dict[int, int] = {}
        self.apart: dict[int, int] = {}
        self.adds: list[Any] = [positions.TX, _ORIGINAL_ID, "l", tx]
        self.retracts: list[Any] = []

    def position(self, entity: int) -> int:
        """The position of an entity, which is made if it is met for the first time."""
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
        if self._resolver.seen.is_new(entity):
            if counter_of(entity) == TX_COUNTER and entity > self.tx:
                # A transaction that is still to come: no other entity can stand for it until then.
                return entity + self._resolver.tx_offset
            position = positions.tempid(entity)
            # Also for entities that are only referred to: a tempid in value position alone is refused.
            self.adds += (position, _ORIGINAL_ID, "l", entity)
            return position
        target = self._resolver.cache.get(entity)
        return positions.lookup(entity) if target is None else target

    def attribute(self, a: int) -> int:
        """The position of an attribute."""
        if a in self.known:
            return self.known[a]
        position = self._resolver.attribute(a)
        return self.position(a) if position is None else position

    def keep_apart(self, entity: Any) -> None:
        """Notes an entity that is new here, and referred to by an attribute or a transaction.

        As a component of it, it would get an id among those of attributes or transactions, which Local then
        gives away again. The last of an entity's owners in a transaction decides.
        """
        position = self.known[entity]
        if positions.is_tempid(position):
            self.apart[entity] = position

    def value(self, kind: str, raw: Any) -> Any:
        """A raw value with the references in it as positions."""
        if kind == "r":
            return self.position(raw)
        if kind == "t":
            return tuple(None if slot is None else (slot[0], self.value(slot[0], slot[1])) for slot in raw)
        return raw
