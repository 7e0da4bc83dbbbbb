"""Requests for excision in a log, and what the entity of each owned.

A request is an entity: `{:db/excise ENTITY, :db.excise/attrs [ATTR], :db.excise/beforeT T}`. Datomic Pro,
which alone has it, later takes out of its indexes and its log what the request covers; the request stays. A
segment that was written before still holds it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncrestore.model.ids import SCHEMA_COUNTER, counter_of
from asyncrestore.model.log import INDEX_MASK, tx_to_t

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncrestore.model.log import Datom, LogChunk

Row: TypeAlias = "tuple[int, Datom]"
"""A datom with its transaction id."""

EXCISE = "db/excise"
ASKING = (EXCISE, "db.excise/attrs", "db.excise/beforeT", "db.excise/before")
"""The attributes of a request."""

_COMPONENT = "db/isComponent"


@dataclass(frozen=True, slots=True)
class Request:
    """A request for excision.

    Attributes:
        entity: its own entity.
        t: of its transaction.
        target: the entity to excise, or the attribute whose values.
        attributes: ids of the only attributes of the entity that it covers; empty for all.
        end: the first t that it does not cover.
        before: an instant, in milliseconds since 1970, that limits it further; None without that limit, or
            where `end` has it.
        owning: ids of the attributes whose values were components then.
    """

    entity: int
    t: int
    target: int
    attributes: frozenset[int]
    end: int
    before: int | None
    owning: frozenset[int]

    @property
    def of_attribute(self) -> bool:
        """Whether it covers the values of an attribute; nothing else in the schema's partition is covered."""
        return counter_of(self.target) == SCHEMA_COUNTER and not self.attributes

    @property
    def of_entity(self) -> bool:
        """Whether it covers an entity."""
        return counter_of(self.target) != SCHEMA_COUNTER

    @property
    def of_components(self) -> bool:
        """Whether it covers what its entity owns, too."""
        return self.of_entity and bool(self.owning & self.attributes if self.attributes else self.owning)


def read_for(base: Mapping[int, str]) -> dict[int, str]:
    """Returns the attributes that say which requests there are, ident by id; none where there is no excision.

    Args:
        base: idents of the base schema by entity id.
    """
    names = {entity: name for entity, name in base.items() if name in {*ASKING, _COMPONENT}}
    return names if EXCISE in names.values() else {}


def requests_in(rows: Iterable[Row], base: Mapping[int, str]) -> list[Request]:
    """Returns the requests in the order of their transactions, each as it was in its own.

    Args:
        rows: the datoms of the attributes `read_for(base)` in any order; those of others are passed over.
        base: idents of the base schema by entity id.
    """
    names = read_for(base)
    by_tx: defaultdict[int, set[Datom]] = defaultdict(set)  # overlapping segments give a datom twice
    for tx, datom in rows:
        if datom[1] in names:
            by_tx[tx].add(datom)
    values: defaultdict[tuple[str, int], set[Any]] = defaultdict(set)
    requests = []
    for tx in sorted(by_tx):
        for e, a, _, raw, added in sorted(by_tx[tx], key=lambda datom: datom[4]):
            if added:
                values[names[a], e].add(raw)
            else:
                values[names[a], e].discard(raw)
        asked = [(e, raw) for e, a, _, raw, added in by_tx[tx] if added and names[a] == EXCISE]
        if asked:
            owning = frozenset(e for (name, e), raws in values.items() if name == _COMPONENT and 1 in raws)
            requests += [_request(e, tx_to_t(tx), target, values, owning) for e, target in asked]
    return requests


def _request(
    entity: int, t: int, target: Any, values: Mapping[tuple[str, int], set[Any]], owning: frozenset[int]
) -> Request:
    attributes, before_t, before = (values.get((name, entity), set()) for name in ASKING[1:])
    # `beforeT` may be a t or a transaction's id. The request covers its own transaction, and nothing later.
    end = min([t + 1, *(limit & INDEX_MASK for limit in before_t)])
    return Request(entity, t, target, frozenset(attributes), end, min(before, default=None), owning)


class Components:
    """References of owners to their components, from which follows what an entity owned.

    Args:
        requests: only what these need is kept: references through attributes of components, up to the last
            request.

    Attributes:
        attributes: ids of the attributes whose datoms are needed; empty if no request needs any.
        end: the first t that is not needed.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self._requests = requests
        owning = [request for request in requests if request.of_components]
        self.attributes = frozenset().union(*(request.owning for request in owning))
        self.end = max((request.t + 1 for request in owning), default=0)
        self._tx, self._owner, self._attribute, self._component = (array("q") for _ in range(4))

    def add(self, chunk: LogChunk) -> None:
        """Takes in the references among some datoms. One that was retracted later counts like any other."""
        if not self.attributes.isdisjoint(chunk.a):
            self.add_rows(chunk.rows())

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Does as `add`."""
        for tx, (e, a, kind, raw, added) in rows:
            if added and kind == "r" and a in self.attributes and isinstance(raw, int):
                self._tx.append(tx)
                self._owner.append(e)
                self._attribute.append(a)
                self._component.append(raw)

    def of_requests(self) -> list[tuple[Request, set[int]]]:
        """Returns each request with the components of its entity, and theirs, without the entity itself."""
        children = self._children({request.target for request in self._requests if request.of_components})
        return [(request, _below(request, children)) for request in self._requests]

    def _children(self, owners: set[int]) -> dict[int, list[tuple[int, int, int]]]:
        """Returns transaction, attribute and component of each reference below these owners, by owner."""
        children: dict[int, list[tuple[int, int, int]]] = {}
        left = owners
        while left:
            for tx, e, a, raw in zip(self._tx, self._owner, self._attribute, self._component, strict=True):
                if e in left:
                    children.setdefault(e, []).append((tx, a, raw))
            left = {raw for e in left for _, _, raw in children.get(e, ())} - children.keys()
        return children


def _below(request: Request, children: Mapping[int, list[tuple[int, int, int]]]) -> set[int]:
    found: set[int] = set()
    left = [request.target] if request.of_components else []
    while left:
        owner = left.pop()
        first = owner == request.target
        for tx, a, raw in children.get(owner, ()):
            followed = a in request.owning and tx_to_t(tx) <= request.t
            limited = first and request.attributes and a not in request.attributes
            if followed and not limited and raw != request.target and raw not in found:
                found.add(raw)
                left.append(raw)
    return found
