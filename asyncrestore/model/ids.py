"""Entity ids: their layout, which are new, and the cache from source to target ids.

An entity id is a partition (the bits above the low 42) and an index (the low 42 bits) from a counter. Datomic
Local has three counters: for transactions (partition 3), for schema elements (partition 0), and for
everything else across all other partitions. In Pro transactions and everything else share one. The three are
counted apart here, which fits both (measured on Datomic Local 1.0.291 and Pro's peer 1.0.7622).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import LRUCache

from asyncrestore.model.log import INDEX_BITS, INDEX_MASK, TX_PARTITION

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE_BITS = 8
_SLOT_MASK = (1 << PAGE_BITS) - 1

SCHEMA_COUNTER, TX_COUNTER, ENTITY_COUNTER = range(3)
_COUNTERS = {0: SCHEMA_COUNTER, TX_PARTITION: TX_COUNTER}


def counter_of(entity: int) -> int:
    """Returns the counter that an entity's index comes from."""
    return _COUNTERS.get(entity >> INDEX_BITS, ENTITY_COUNTER)


class SeenIds:
    """The largest index seen in each counter: an id above it belongs to an entity that was never met before.

    Only ids in entity position count: a dangling reference may be any number, and would make every later
    entity look old.
    """

    def __init__(self, largest: tuple[int, int, int] = (-1, -1, -1)) -> None:
        self._largest = list(largest)

    @property
    def largest(self) -> tuple[int, int, int]:
        """The largest index of schema elements, transactions and other entities; -1 for none."""
        schema, tx, entity = self._largest
        return schema, tx, entity

    def is_new(self, entity: int) -> bool:
        """Returns whether the entity was never met before."""
        return (entity & INDEX_MASK) > self._largest[_COUNTERS.get(entity >> INDEX_BITS, ENTITY_COUNTER)]

    def add(self, entity: int) -> None:
        """Takes in an id met in entity position."""
        counter, index = _COUNTERS.get(entity >> INDEX_BITS, ENTITY_COUNTER), entity & INDEX_MASK
        self._largest[counter] = max(self._largest[counter], index)

    def add_all(self, entities: Iterable[int]) -> None:
        """Takes in ids met in entity position."""
        largest, counters = self._largest, _COUNTERS
        for entity in entities:
            index = entity & INDEX_MASK
            counter = counters.get(entity >> INDEX_BITS, ENTITY_COUNTER)
            if index > largest[counter]:  # noqa: PLR1730 - max() is a call for each
                largest[counter] = index

    def merge(self, largest: tuple[int, int, int]) -> None:
        """Takes in the `largest` of another."""
        self._largest = [max(pair) for pair in zip(self._largest, largest, strict=True)]


@dataclass(slots=True)
class CacheStatistics:
    """Size and use of an id cache.

    Attributes:
        capacity: how many ids it has room for.
        pages: how many pages of 256 ids it holds.
        hits: look-ups that found an id.
        misses: look-ups that did not.
    """

    capacity: int
    pages: int
    hits: int
    misses: int

    @property
    def full(self) -> float:
        """The part of the capacity that is in use, 0 to 1."""
        return (self.pages << PAGE_BITS) / self.capacity if self.capacity else 1.0


class IdCache:
    """Target ids by source id; the least recently used are forgotten.

    An id takes 8 bytes, about 9 with the overhead. Ids come from counters, so they are kept in pages of 256
    consecutive indexes. A slot holds the target's index and, above it, the number of the pair (source
    partition, target partition); few of the possible pairs occur.
    """

    def __init__(self, max_ids: int) -> None:
        self._pages: LRUCache[int, array[int]] = LRUCache(-(-max_ids >> PAGE_BITS))
        self._keeps_nothing = max_ids == 0
        # Pages used since this was last emptied: asking the LRU cache for each id takes longer than the rest.
        self._hot: dict[int, array[int]] = {}
        self._hot_limit = max(1, int(self._pages.maxsize) >> 4)
        self._empty = array("q", bytes(8 << PAGE_BITS))
        self._pairs: list[tuple[int, int]] = [(-1, -1)]  # slot 0 means empty, so pair 0 is never used
        self._pair_numbers: dict[tuple[int, int], int] = {}
        self._hits = self._misses = 0

    def get(self, source: int) -> int | None:
        """Returns the target id of a source id, or None if it is not (or no longer) in the cache."""
        partition = source >> INDEX_BITS
        key = (source & INDEX_MASK) >> PAGE_BITS << 2 | _COUNTERS.get(partition, ENTITY_COUNTER)
        page = self._hot.get(key) or self._page(key)
        if page is not None:
            slot = page[source & _SLOT_MASK]
            source_partition, target_partition = self._pairs[slot >> INDEX_BITS]
            if source_partition == partition:
                self._hits += 1
                return target_partition << INDEX_BITS | slot & INDEX_MASK
        self._misses += 1
        return None

    def put(self, source: int, target: int) -> None:
        """Remembers a pair of ids, unless the cache has no room at all."""
        if self._keeps_nothing:
            return
        partition = source >> INDEX_BITS
        pair = (partition, target >> INDEX_BITS)
        number = self._pair_numbers.get(pair)
        if number is None:
            if len(self._pairs) >> (63 - INDEX_BITS):
                return  # no number is left for a new pair of partitions; a cache may forget
            number = self._pair_numbers[pair] = len(self._pairs)
            self._pairs.append(pair)
        key = (source & INDEX_MASK) >> PAGE_BITS << 2 | _COUNTERS.get(partition, ENTITY_COUNTER)
        page = self._hot.get(key) or self._page(key)
        if page is None:
            page = self._pages[key] = self._empty[:]
        page[source & _SLOT_MASK] = number << INDEX_BITS | target & INDEX_MASK

    def _page(self, key: int) -> array[int] | None:
        """Returns a page of the LRU cache, which counts as a use of it."""
        page = self._pages.get(key)
        if page is not None:
            if len(self._hot) >= self._hot_limit:
                self._hot.clear()
            self._hot[key] = page
        return page

    @property
    def statistics(self) -> CacheStatistics:
        """Size and use so far."""
        capacity = int(self._pages.maxsize) << PAGE_BITS
        return CacheStatistics(capacity, len(self._pages), self._hits, self._misses)
