"""Frequent backups, compacted, are what one backup would have been; readers notice nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, SCHEMA
from tests.support.damage import NAME, begin, load

if TYPE_CHECKING:
    from tests.support.databases import NewDatabase


pytestmark = pytest.mark.anyio


async def test_frequent_backups_compacted_are_one_backup(new_database: NewDatabase) -> None:
    source, target, often, once = (
        await new_database(),
        await new_database(),
        MemoryStore(),
        MemoryStore(),
    )
    for store in (often, once):
        await begin(store)
    for transaction in ODD:
        await source.transact_edn([transaction])
        await backup(source, often, name=NAME)
        await compact(often)
    await backup(source, once, name=NAME)
    [(key, whole)] = (await load(once)).items()
    assert len(await load(often)) == 2 * len(ODD) - 1

    merged, direct = Segment(await often.read(NAME, key)), Segment(whole)

    assert merged.info == direct.info, "the schema's snapshot too"
    assert merged.same_rows(direct)
    assert merged.data == whole
    await restore(often, target)
    assert (await verify(often, against=target)).problems == []
    await delete(often, NAME, superseded=True, confirmed=True)
    assert await load(often) == {key: whole}


async def test_pieces_compacted_are_larger_pieces(new_database: NewDatabase) -> None:
    source, small, large = await new_database(*ODD), MemoryStore(), MemoryStore()
    for store in (small, large):
        await begin(store)
    await backup(source, small, name=NAME, segment_size=2)
    await backup(source, large, name=NAME, segment_size=10)
    await compact(small, segment_size=10)
    wanted = await load(large)
    assert wanted.items() <= (await load(small)).items()


async def test_a_restore_beside_a_compaction_and_a_backup(new_database: NewDatabase) -> None:
    people = [f'[{{:p/email "{i}@x"}}]' for i in range(300)]
    source, target, store = await new_database(SCHEMA, *people), await new_database(), MemoryStore()
    await backup(source, store, name=NAME, segment_size=3)
    await source.transact_edn(['[{:p/email "later@x"}]'])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(restore, store, target)
        tasks.start_soon(compact, store)
        tasks.start_soon(lambda: backup(source, store, name=NAME, segment_size=3))
    await restore(store, target)

    assert (await verify(source, against=target)).problems == []
    assert (await verify(store, live=source)).problems == []
