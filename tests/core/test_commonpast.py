"""How far transactions are compared to tell a database from one that was made again in the same way."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncrestore.errors import Conflict
from asyncrestore.history.bootstrap import Beginning, has_engines_id
from asyncrestore.jobs.copy import copy
from asyncrestore.model.log import INDEX_BITS, Transaction, t_to_tx
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.verifying.common_past import ENOUGH, Draws
from tests.support import small_backup
from tests.support.altered import chunk_of
from tests.support.damage import NAME, load, store_of

if TYPE_CHECKING:
    import random

    from asyncrestore.model.log import Datom
    from tests.support.damage import Objects

PARTITIONS = range(17, 24)
"""Those into which Datomic Local puts entities."""

DIGEST = "db@0123456789abcdef"


def entity(index: int, partition: int) -> int:
    return partition << INDEX_BITS | index


def about(t: int, *entities: int, refers_to: int | None = None) -> Transaction:
    """A transaction with a datom of each entity, and a reference."""
    tx = t_to_tx(t)
    datoms: list[Datom] = [(tx, 50, "i", t, True), *[(e, 73, "s", f"{t}", True) for e in entities]]
    if refers_to is not None:
        datoms.append((tx, 74, "r", refers_to, True))
    return Transaction.of(tx, datoms)


def test_identities_that_are_the_engines() -> None:
    digest = Beginning(5, None, []).identity_of("a@b\n")
    recorded = Beginning(5, None, [], "7d0162a9-2636-46f2-b0e8-a9336075eee2").identity_of("db")
    assert (has_engines_id(digest), has_engines_id(recorded), has_engines_id(DIGEST)) == (False,) * 3
    for identity in ("7d0162a9-2636-46f2-b0e8-a9336075eee2", "a@b-7d0162a9-2636-46f2-b0e8-a9336075eee2"):
        assert has_engines_id(identity)


def test_an_identity_is_the_same_for_every_version() -> None:
    """Stores hold it: were it made in another way, no backup of the database could be continued."""
    tx = t_to_tx(7)
    first = Transaction.of(
        tx, [(tx, 50, "i", 1700000000000, True), (4611686018427387905, 73, "s", "é\n", True)]
    )
    assert Beginning(6, first, []).identity_of("shop") == "shop@cacd51213abddfb4"


def test_what_is_a_draw() -> None:
    draws = Draws()
    for at, (transaction, number) in enumerate(
        (
            (about(9, 73, t_to_tx(9)), 0),  # schema and transactions come from counters alone
            (about(10, entity(80, 17), entity(81, 17)), 1),
            (about(11, entity(80, 17)), 1),
            (about(12, entity(90, 18), refers_to=entity(90, 18)), 1),  # a component, perhaps
            (about(13, entity(90, 18)), 2),
            (about(14, entity(85, 18)), 2),
            (about(15, entity(84, 19)), 3),
            (about(16, entity(100, 18), entity(70, 17)), 3),
        )
    ):
        draws.show(transaction, set(transaction.e))
        assert len(draws) == number, at


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(PARTITIONS)), max_size=30), st.randoms())
def test_no_draw_is_counted_twice(made: list[tuple[int, int]], chance: random.Random) -> None:
    """Whatever part of the entities is shown, in whatever order, and however often."""
    indexes = iter(range(75, 1000))
    ids = [entity(next(indexes), partition) for size, partition in made for _ in range(size)]
    draws = Draws()
    for t in range(20):
        transaction = about(t + 9, *chance.sample(ids, min(len(ids), chance.randrange(4))))
        draws.show(transaction, set(transaction.e))
        assert len(draws) <= len(made)
    whole = Draws()
    transaction = about(99, *ids)
    whole.show(transaction, ids)
    assert len(whole) == sum(one != other for (_, one), (_, other) in pairwise(made)) + bool(made)


def backup_of(partitions: list[int]) -> Objects:
    """Segments of one transaction each, which makes one entity."""
    objects = {}
    for t, partition in enumerate(partitions, start=6):
        range_ = SegmentRange(0 if t == 6 else t, t + 1)
        transaction = about(t, entity(70 + t, partition))
        log = chunk_of([(transaction.tx, datom) for datom in transaction.datoms])
        objects[range_.key] = encode(
            [log], range_, source=DIGEST, name="db", bootstrap_t=5, schema=small_backup.schema()
        )
    return objects


class Counting(MemoryStore):
    """A store that counts what is read of it."""

    reads = 0

    async def read(self, name: str, key: str) -> bytes:
        self.reads += 1
        return await super().read(name, key)


@pytest.mark.anyio
async def test_no_more_is_read_than_is_needed() -> None:
    objects = backup_of([*PARTITIONS] * 5)
    here, there = Counting(), await store_of(objects)
    for key, data in objects.items():
        await here.publish(NAME, key, data)
    await copy(here, there)
    assert ENOUGH < here.reads <= ENOUGH + 3


@pytest.mark.anyio
@pytest.mark.parametrize("newest_alike", [0, 1, 5, ENOUGH - 1])
async def test_a_copy_of_a_database_made_again(newest_alike: int) -> None:
    """All draws since it was made are others by chance; the newest may happen to be the same."""
    older = [partition for partition in PARTITIONS for _ in range(2)]
    newest = [*PARTITIONS, *PARTITIONS][:newest_alike]
    first = await store_of(backup_of([*older, *newest]))
    again = backup_of([*[partition - 1 for partition in older], *newest])
    target = await store_of(dict(list(again.items())[: len(older) + newest_alike]))
    with pytest.raises(Conflict, match=rf"have diverged: t {len(older) + 5} differs") as caught:
        await copy(first, target)
    assert "made again" in caught.value.hint
    assert await load(target) == again


@pytest.mark.anyio
async def test_a_copy_that_cannot_be_read_in_the_middle() -> None:
    """What cannot be read shows nothing; the rest does."""
    objects = backup_of([*PARTITIONS] * 5)
    damaged = {key: b"" if at in {20, 30} else data for at, (key, data) in enumerate(objects.items())}
    assert not (await copy(await store_of(objects), await store_of(damaged))).ok
    again = backup_of([partition - 1 for partition in [*PARTITIONS] * 5])
    with pytest.raises(Conflict, match="have diverged"):
        await copy(await store_of(again), await store_of(damaged))
