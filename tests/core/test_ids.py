"""Ids: layout, the largest seen, and the cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncrestore.model.ids import ENTITY_COUNTER, SCHEMA_COUNTER, TX_COUNTER, IdCache, SeenIds, counter_of
from asyncrestore.model.log import t_to_tx, tx_to_t
from tests.strategies import entity_ids

pairs = st.dictionaries(entity_ids, entity_ids, max_size=60)


@pytest.mark.parametrize(
    ("entity", "counter"), [(73, SCHEMA_COUNTER), (t_to_tx(9), TX_COUNTER), ((17 << 42) + 9, ENTITY_COUNTER)]
)
def test_counters(entity: int, counter: int) -> None:
    assert counter_of(entity) == counter


@given(st.integers(0, 2**42 - 1))
def test_t_and_tx_are_the_same_thing(t: int) -> None:
    assert tx_to_t(t_to_tx(t)) == t


@given(st.lists(entity_ids), entity_ids)
def test_an_entity_is_new_when_its_index_is_above_all_seen_of_its_counter(
    seen: list[int], entity: int
) -> None:
    ids = SeenIds()
    ids.add_all(seen)
    largest = max((tx_to_t(e) for e in seen if counter_of(e) == counter_of(entity)), default=-1)
    assert ids.is_new(entity) == (tx_to_t(entity) > largest)


@given(pairs)
def test_cache_gives_back_what_was_put_or_nothing(pairs: dict[int, int]) -> None:
    cache = IdCache(1_000_000)
    kept: dict[int, int] = {}
    for source, target in pairs.items():
        cache.put(source, target)
        # Real ids of one counter never share an index; where these do, the later takes the place.
        kept = {
            s: t
            for s, t in kept.items()
            if (counter_of(s), tx_to_t(s)) != (counter_of(source), tx_to_t(source))
        }
        kept[source] = target
    for source in pairs:
        assert cache.get(source) == kept.get(source)


@given(pairs, st.integers(0, 1000))
def test_a_small_cache_forgets_but_never_errs(pairs: dict[int, int], size: int) -> None:
    cache = IdCache(size)
    for source, target in pairs.items():
        cache.put(source, target)
    for source, target in pairs.items():
        assert cache.get(source) in {None, target}
    assert cache.statistics.pages <= -(-size // 256)
    assert 0 <= cache.statistics.full <= 1


def test_cache_counts_hits_and_misses() -> None:
    cache = IdCache(1000)
    cache.put((17 << 42) + 1, (21 << 42) + 5)
    assert cache.get((17 << 42) + 1) == (21 << 42) + 5
    assert cache.get((18 << 42) + 1) is None, "the same index in another partition is another entity"
    assert cache.get(7) is None
    assert (cache.statistics.hits, cache.statistics.misses) == (1, 2)
