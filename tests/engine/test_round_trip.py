"""A history goes from a database through a store into another, and is the same there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import Conflict
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, SCHEMA
from tests.support.engines import IN_MEMORY

if TYPE_CHECKING:
    from tests.support.databases import NewDatabase


pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", IN_MEMORY)]


@pytest.mark.parametrize("segment_size", [1, 3, 10_000])
async def test_odd_history_is_identical_after_restore(new_database: NewDatabase, segment_size: int) -> None:
    source, target, store = await new_database(*ODD), await new_database(), MemoryStore()
    await backup(source, store, segment_size=segment_size)

    report = await restore(store, target)

    assert report.transactions == len(ODD)
    assert (await verify(store)).problems == []
    assert (await verify(store, against=target)).problems == []
    assert (await verify(source, against=target)).problems == []


async def test_restore_without_id_cache_is_identical(new_database: NewDatabase) -> None:
    source, target = await new_database(*ODD), await new_database()

    await restore(source, target, id_cache_size=0)

    assert (await verify(source, against=target)).problems == []


async def test_restored_copy_is_a_source_without_bookkeeping(new_database: NewDatabase) -> None:
    source, first, second, store = (
        await new_database(*ODD),
        await new_database(),
        await new_database(),
        MemoryStore(),
    )
    await restore(source, first)

    await backup(first, store, name="copy")
    report = await restore(store, second, name="copy")

    assert report.transactions == len(ODD)
    assert (await verify(first, against=second)).problems == []
    with pytest.raises(Conflict, match="another database"):
        await verify(source, against=second)


async def test_growing_source_is_followed_piece_by_piece(new_database: NewDatabase) -> None:
    source, target, store = await new_database(SCHEMA), await new_database(), MemoryStore()
    await backup(source, store, segment_size=5)
    await restore(store, target)
    for transaction in ODD[1:]:
        await source.transact_edn([transaction])
        done = await backup(source, store, segment_size=5)
        restored = await restore(store, target)
        assert (done.transactions, restored.transactions) == (1, 1)

    assert (await verify(store, against=target)).problems == []


async def test_nothing_new_is_said(new_database: NewDatabase) -> None:
    source, target, store = await new_database(*ODD), await new_database(), MemoryStore()
    await backup(source, store)
    await restore(store, target)

    again, nothing = await backup(source, store), await restore(store, target)

    assert again.segments == []
    assert nothing.transactions == 0
    assert nothing.first_t == nothing.last_t


async def test_empty_database_has_an_empty_history(new_database: NewDatabase) -> None:
    """An empty durable database cannot be told from another of its name, so nothing of it is stored yet."""
    source, target, store = await new_database(), await new_database(), MemoryStore()

    assert (await backup(source, store)).segments == []
    assert (await restore(source, target)).transactions == 0

    assert await store.names() == []
    assert await target.basis_t() == await source.basis_t()
    await source.transact_edn([SCHEMA])
    assert (await restore(source, target)).transactions == 1
