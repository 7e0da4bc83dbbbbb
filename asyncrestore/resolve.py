"""The resolver: a source's transaction as data for the target. It asks nobody anything and never waits.

Docs: `docs/restore-rules.md` has each rule with its reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transit.transit_types import Keyword

from asyncrestore.errors import DamageError
from asyncrestore.model import TxData, tx_to_t
from asyncrestore.schema import ORIGINAL_ID, SUCCESSOR

if TYPE_CHECKING:
    from asyncrestore.history import State
    from asyncrestore.ids import IdCache
    from asyncrestore.model import Datom, Transaction
    from asyncrestore.schema import Attribute
    from asyncrestore.values import Raw

ORIGINAL_ID_KEY = Keyword(ORIGINAL_ID)
SUCCESSOR_KEY = Keyword(SUCCESSOR)
TX_TEMPID = "datomic.tx"
STRING_LIMIT = 4096
"""Characters in a string, in Datomic Local and Cloud; Pro has no limit (Datomic's schema reference)."""


class Resolver:
    """Turns the source's transactions, one after the other, into data to commit.

    Args:
        state: schema and largest indexes as of before the first transaction; moved on by each.
        cache: target ids of source ids, filled by whoever commits. Only a hint: without it the target looks
            ids up itself.
        previous: source id of the transaction restored before the first one.
    """

    def __init__(self, state: State, cache: IdCache, previous: int) -> None:
        self._schema = state.schema
        self._seen = state.seen
        self._cache = cache
        self._previous = previous
        self._idents = {entity: Keyword(ident) for entity, ident in state.schema.base.items()}

    def resolve(self, transaction: Transaction) -> TxData:
        """The transaction's data for the target, chained to the transaction resolved before.

        Raises:
            DamageError: a datom's attribute is not known: the history before it was not complete.
        """
        tx, datoms = transaction.tx, transaction.datoms
        work = _Work(self, tx)
        asserted = {(d[0], d[1]) for d in datoms if d[4]} if not all(d[4] for d in datoms) else set()
        composites: list[Datom] = []
        attributes = self._schema.attributes
        for datom in datoms:
            e, a, kind, raw, added = datom
            attribute = attributes.get(a)
            if attribute is None:
                raise DamageError(f"t {tx_to_t(tx)}: entity {e} has a datom of the unknown attribute {a}")
            if attribute.components is not None:
                composites.append(datom)  # computed by the target from its components
            elif not self._schema.is_bookkeeping(a) and (added or attribute.many or (e, a) not in asserted):
                # (The target retracts the old value of a cardinality-one attribute by itself; sent too, the
                # retraction would be in its log twice.)
                work.emit(e, a, kind, raw, added)
        for e, a, _, raw, added in composites:
            if added:
                self._backfill(work, datoms, e, attributes[a], raw)
        cas = ((ORIGINAL_ID_KEY, self._previous), SUCCESSOR_KEY, None, tx)
        self._previous = tx
        self._seen.add_all(datom[0] for datom in datoms)
        if self._schema.touches(datoms):
            self._schema.apply(datoms)
        return TxData(tx, work.adds, work.retracts, cas, transaction)

    def blame(self, transaction: Transaction) -> str:
        """Which datom of a refused transaction is probably the cause, in words; empty when none is."""
        for e, a, kind, raw, added in transaction.datoms:
            if kind == "s" and added and isinstance(raw, str) and len(raw) > STRING_LIMIT:
                attribute = self._schema.attributes.get(a)
                name = f":{attribute.ident}" if attribute else f"attribute {a}"
                return (
                    f"Entity {e} has a string of {len(raw)} characters in {name}; "
                    f"Datomic Local and Cloud take at most {STRING_LIMIT}."
                )
        return ""

    def _backfill(self, work: _Work, datoms: list[Datom], e: int, composite: Attribute, raw: Raw) -> None:
        """Makes the target compute a composite that changed without its components, being newer than they.

        Asserting one component again, unchanged, does that, and leaves nothing else in the target's log.
        """
        components = composite.components or ()
        if isinstance(raw, tuple) and not any(d[0] == e and d[1] in components for d in datoms):
            component, (kind, value) = next(
                pair for pair in zip(components, raw, strict=True) if pair[1] is not None
            )
            work.emit(e, component, kind, value, True)

    def position(self, entity: int, tx: int) -> tuple[Any, bool]:
        """How the target is told of a source entity, and whether it must be made with its original id."""
        if entity in self._idents:
            return self._idents[entity], False
        if entity == tx:
            return TX_TEMPID, False
        if self._seen.is_new(entity):
            return str(entity), True
        target = self._cache.get(entity)
        return (ORIGINAL_ID_KEY, entity) if target is None else target, False


class _Work:
    """One transaction being resolved."""

    def __init__(self, resolver: Resolver, tx: int) -> None:
        self._resolver = resolver
        self._tx = tx
        self._positions: dict[int, Any] = {}
        self.adds: list[Any] = [TX_TEMPID, ORIGINAL_ID_KEY, "l", tx]
        self.retracts: list[Any] = []

    def _position(self, entity: int) -> Any:
        position = self._positions.get(entity)
        if position is None:
            position, make = self._resolver.position(entity, self._tx)
            self._positions[entity] = position
            if make:
                # Also for entities that are only referred to: a tempid in value position alone is refused.
                self.adds += (position, ORIGINAL_ID_KEY, "l", entity)
        return position

    def _value(self, kind: str, raw: Any) -> Any:
        if kind == "r":
            return self._position(raw)
        if kind == "t":
            return tuple(None if slot is None else (slot[0], self._value(slot[0], slot[1])) for slot in raw)
        return raw

    def emit(self, e: int, a: int, kind: str, raw: Raw, added: bool) -> None:
        value = raw if kind not in "rt" else self._value(kind, raw)
        (self.adds if added else self.retracts).extend((self._position(e), self._position(a), kind, value))
