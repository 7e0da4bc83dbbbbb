"""A log without what was excised: which datoms its requests for excision cover.

The rules are in `docs/excision.md`; they are those of Pro's peer 1.0.7622.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import DamageError
from asyncrestore.excision.requests import ASKING, EXCISE, Components, read_for
from asyncrestore.model.ids import SCHEMA_COUNTER, counter_of
from asyncrestore.model.log import Transaction, t_to_tx, tx_to_t

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from asyncrestore.excision.requests import Request, Row
    from asyncrestore.model.log import Datom, LogChunk
    from asyncrestore.model.schema import Schema


@dataclass(slots=True)
class Excised:
    """What requests for excision meant for a job.

    Attributes:
        requests: how many there are in what was read; none is replayed into a target.
        left_out: assertions that a request covers, and that were left out because of it.
        held: datoms that a request covers and that are there all the same: in the target that was verified,
            or in the segments below.
        segments: keys of the segments that hold what a request covers; after a backup, of those that may.
    """

    requests: int = 0
    left_out: int = 0
    held: int = 0
    segments: list[str] = field(default_factory=list)


_REMOVABLE = frozenset({
    "db/doc", "db/ensure", "db.attr/preds", "db.entity/attrs", "db.entity/preds",
    "db/tupleAttrs", "db/tupleType", "db/tupleTypes",
})  # fmt: skip
"""The attributes of the base schema that a request may cover; the older ones are never covered."""


_DOUBTFUL_LIMIT = 100_000
"""How many datoms wait for the end of a comparison; further ones are differences at once."""


class Excisions:
    """What the requests in a log cover.

    Args:
        base: idents of the log's base schema by entity id.
        requests: all that the log has, without `before` (see `scan.by_t`).
        components: of their entities, as far as they are known; None if nothing is to be covered.

    Attributes:
        requests: those.
        done: what `apply` met and left out so far.
    """

    def __init__(
        self,
        base: Mapping[int, str],
        requests: Sequence[Request] = (),
        components: Components | None = None,
    ) -> None:
        self.requests = requests
        self.done = Excised()
        self._base = base
        self._known_components = components
        names = read_for(base)
        self._asking = frozenset(a for a, name in names.items() if name in ASKING)
        self._excise = next((a for a, name in names.items() if name == EXCISE), None)
        self._known = {(request.entity, request.t) for request in requests}
        self._never = frozenset(a for a, name in base.items() if name not in _REMOVABLE)
        self._attributes: defaultdict[int, list[Request]] = defaultdict(list)
        self._entities: defaultdict[int, list[Request]] = defaultdict(list)
        self._components: defaultdict[int, list[Request]] = defaultdict(list)
        for request, below in components.of_requests() if components else ():
            if request.of_attribute:
                self._attributes[request.target].append(request)
            elif request.of_entity:
                self._entities[request.target].append(request)
            for component in below:
                self._components[component].append(request)
        self._owned = self._entities.keys() | self._components.keys()

    @classmethod
    def without_components(cls, base: Mapping[int, str], requests: Sequence[Request]) -> Excisions:
        """Returns what requests cover where nobody knows what their entities owned (see `may_cover`)."""
        return cls(base, requests, Components(requests))

    def with_components(self, rows: Iterable[Row]) -> Excisions:
        """Returns the same, with what is known besides of what their entities owned.

        Args:
            rows: datoms, among them references of owners to components.
        """
        if self._known_components is None:
            return self
        self._known_components.add_rows(rows)
        return Excisions(self._base, self.requests, self._known_components)

    def keeping(self) -> Excisions:
        """Returns the same requests, to be left out, and nothing that they cover."""
        return Excisions(self._base, self.requests)

    @property
    def cover_nothing(self) -> bool:
        """Whether there is nothing that a request could cover."""
        return not (self._attributes or self._owned)

    def _concerning(self, e: int, a: int, kind: str, raw: Any) -> Iterator[Request]:
        """Yields the requests that cover such a datom if it is old enough."""
        if counter_of(e) == SCHEMA_COUNTER or a in self._never:
            return
        yield from self._attributes.get(a, ())
        for entity in (e, raw) if kind == "r" else (e,):
            for request in self._entities.get(entity, ()):
                if not request.attributes or a in request.attributes:
                    yield request
            yield from self._components.get(entity, ())

    def concern(self, e: int, a: int, kind: str, raw: Any) -> bool:
        """Returns whether a request covers such a datom if it is old enough."""
        return any(True for _ in self._concerning(e, a, kind, raw))

    def cover(self, datom: Datom, t: int) -> bool:
        """Returns whether a request covers a datom, an assertion or a retraction.

        Args:
            datom: of the log.
            t: of its transaction.
        """
        return any(t < request.end for request in self._concerning(*datom[:4]))

    def may_cover(self, datom: Datom, t: int) -> bool:
        """Returns whether a request may cover a datom where what its entity owned is not known any more."""
        if counter_of(datom[0]) == SCHEMA_COUNTER or datom[1] in self._never:
            return False
        return self.cover(datom, t) or any(
            t < request.end and request.of_components for request in self.requests
        )

    def count(self, chunk: LogChunk) -> int:
        """Returns how many datoms of a chunk requests cover."""
        if self.cover_nothing:
            return 0
        return sum(self.cover(datom, tx_to_t(tx)) for tx, datom in chunk.rows())

    def apply(self, transaction: Transaction, schema: Schema) -> Transaction:
        """Returns a transaction without requests and what they cover, and counts that.

        Retractions stay. Datomic drops one that finds nothing to retract, and where a target was given a
        value before it was excised, the retraction is still due. Composite tuples are as `without_slots`.

        Args:
            transaction: of the log.
            schema: of the log, as of just before it.

        Raises:
            DamageError: it has a request that is not among those known, so what that covers was not left out.
        """
        if not self._touch(transaction):
            return transaction
        t = transaction.t
        kept: list[Datom] = []
        for datom in transaction.datoms:
            e, a, _, _, added = datom
            if a in self._asking:
                self._note(transaction, e, asks=a == self._excise and added)
            elif added and not _components_of(schema, a) and self.cover(datom, t):
                self.done.left_out += 1
            else:
                kept.append(datom)
        return Transaction.of(transaction.tx, self.without_slots(kept, schema))

    def _touch(self, transaction: Transaction) -> bool:
        """Returns whether a request, or what one covers, may be in the transaction."""
        if not self._asking:
            return False
        if not self._asking.isdisjoint(transaction.a):
            return True
        if self.cover_nothing:
            return False
        return (
            "t" in transaction.kinds
            or not self._attributes.keys().isdisjoint(transaction.a)
            or not self._owned.isdisjoint(transaction.e)
            or ("r" in transaction.kinds and not self._owned.isdisjoint(transaction.raws))
        )

    def _note(self, transaction: Transaction, entity: int, *, asks: bool) -> None:
        if not asks:
            return
        if (entity, transaction.t) not in self._known:
            raise DamageError(
                f"t {transaction.t}: entity {entity} asks for an excision (:db/excise), which was not known "
                "when what it covers was read",
                hint="The history of the schema must have the requests (see `Database.schema_history`).",
            )
        self.done.requests += 1

    def without_slots(self, datoms: list[Datom], schema: Schema) -> list[Datom]:
        """Returns datoms with composite tuples in which the slots of what requests concern are empty.

        An excision leaves composites of what it takes as they are. A target makes them of what it has.
        """
        composites = [datom for datom in datoms if _components_of(schema, datom[1])]
        if self.cover_nothing or not composites:
            return datoms
        made = [self._without_slots(datom, schema) for datom in composites]
        if made == composites:
            return datoms
        present = {(*datom[:4], datom[4]) for datom in made}
        others = [datom for datom in datoms if not _components_of(schema, datom[1])]
        return others + [
            (e, a, kind, raw, added)
            for e, a, kind, raw, added in made
            if isinstance(raw, tuple) and any(raw) and (e, a, kind, raw, not added) not in present
        ]

    def _without_slots(self, datom: Datom, schema: Schema) -> Datom:
        e, a, kind, raw, added = datom
        if not isinstance(raw, tuple):
            return datom
        slots = tuple(
            None if slot is None or self.concern(e, component, *slot) else slot
            for component, slot in zip(_components_of(schema, a), raw, strict=True)
        )
        return e, a, kind, slots, added


def _components_of(schema: Schema, attribute: int) -> tuple[int, ...]:
    known = schema.attributes.get(attribute)
    return (known.components if known else None) or ()


class Given:
    """Tells which retractions a target can note: those of what it was given.

    Where a request covers an assertion and not the retraction that followed it, a target that was never given
    the value drops the retraction.

    Args:
        excisions: what is left out.
    """

    def __init__(self, excisions: Excisions) -> None:
        self._excisions = excisions
        # As many as there are present values in the scope of requests; a number each.
        self._values: set[int] = set()

    def split(self, datoms: list[Datom]) -> tuple[list[Datom], list[Datom]]:
        """Returns the datoms that a target must have, and those that it has only if it was given more.

        Args:
            datoms: of one transaction after the other, as `Excisions.apply` returned them.
        """
        if self._excisions.cover_nothing:
            return datoms, []
        must: list[Datom] = []
        may: list[Datom] = []
        for datom in datoms:
            place, added = datom[:4], datom[4]
            if not self._excisions.concern(*place):
                must.append(datom)
            elif added:
                self._values.add(hash(place))
                must.append(datom)
            elif hash(place) in self._values:
                self._values.discard(hash(place))
                must.append(datom)
            else:
                may.append(datom)
        return must, may


class Surplus:
    """What a target has beyond its source: as far as it is excised there, that is no difference.

    Where the source has excised the references to components as well, only the target shows what they were. A
    component may come before the reference to it, so some of this is known at the end alone.

    Args:
        excisions: of the source; its `held` is counted here.
    """

    def __init__(self, excisions: Excisions) -> None:
        self._excisions = excisions
        self._links: list[Row] = []
        self._doubtful: list[tuple[Datom, int, str]] = []

    def take(self, datom: Datom, t: int, text: str, *, allowed: bool) -> bool:
        """Takes in a datom that only the target has; returns whether that is no difference, or may be none.

        Args:
            datom: in the source's ids.
            t: of the source's transaction.
            text: describes it as a difference.
            allowed: it is none in any case.
        """
        if self._excisions.cover(datom, t):
            self._excisions.done.held += 1
        elif allowed:
            return True
        elif self._excisions.may_cover(datom, t) and len(self._doubtful) < _DOUBTFUL_LIMIT:
            self._doubtful.append((datom, t, text))
        else:
            return False
        if datom[2] == "r":
            self._links.append((t_to_tx(t), datom))
        return True

    def settle(self) -> Iterator[str]:
        """Yields the texts of those that turn out not to be excised."""
        excisions = self._excisions.with_components(self._links)
        for datom, t, text in self._doubtful:
            if excisions.cover(datom, t):
                self._excisions.done.held += 1
            else:
                yield text


def only_excised(stored: Transaction, found: Transaction, covers: Callable[[Datom, int], bool]) -> bool:
    """Returns whether a stored transaction has all that its source has, and besides only what was excised.

    Args:
        stored: as a backup has it.
        found: as the source's log has it now.
        covers: whether a request covers a datom of a t: `Excisions.cover` or `Excisions.may_cover`.
    """
    left = iter(found.datoms)
    expected = next(left, None)
    for datom in stored.datoms:
        if datom == expected:
            expected = next(left, None)
        elif not covers(datom, stored.t):
            return False
    return expected is None and stored.tx == found.tx


def was_excised(stored: LogChunk, found: LogChunk, excisions: Excisions) -> bool:
    """Returns whether what a source has of some transactions differs from a backup by an excision at most.

    Args:
        stored: the transactions as the backup has them.
        found: as the source's log has them now.
        excisions: that the source was asked for, perhaps `without_components`.
    """
    if not excisions.requests or stored.txs() != found.txs():
        return False
    both = zip(stored.transactions(), found.transactions(), strict=True)
    return all(only_excised(*pair, excisions.may_cover) for pair in both)
