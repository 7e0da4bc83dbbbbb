"""A slow target stops all stages before it: what is read ahead is bounded, however long the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.history.prefetch import PARTS_AT_ONCE
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import Faults, faulty_database
from tests.histories import PEOPLE, SCHEMA
from tests.support.comparison import check_copy

if TYPE_CHECKING:
    from asyncrestore.progress import Progress
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

SEGMENT, SEGMENTS = 10, 60
MANY = [f'[{{:p/email "m{i}@x"}}]' for i in range(SEGMENT * SEGMENTS - 6 - len(PEOPLE))]

AHEAD = PARTS_AT_ONCE + 4
"""Segments read, and not in the target: those loading or waiting for their turn,
one each on its way to the resolver, in it and on its way to the target, and one in flight (a window of 8)."""


class CountingStore(MemoryStore):
    """Notes at each reading how many segments were read before, and are not in the target yet."""

    def __init__(self) -> None:
        super().__init__()
        self.read_count = self.committed = 0
        self.ahead: list[int] = []

    async def read(self, name: str, key: str) -> bytes:
        self.read_count += 1
        self.ahead.append(self.read_count - self.committed)
        return await super().read(name, key)


@pytest.mark.parametrize(("prefetch_bytes", "most"), [(32 << 20, AHEAD), (1, AHEAD - PARTS_AT_ONCE + 1)])
async def test_a_slow_target_stops_the_prefetcher(
    new_database: NewDatabase, prefetch_bytes: int, most: int
) -> None:
    source, inner, store = await new_database(SCHEMA, *PEOPLE, *MANY), await new_database(), CountingStore()
    await backup(source, store, segment_size=SEGMENT)
    # A restore begins with the first, backup.json and the last, looks for code in all but the first, and
    # reads all but the first again. That one it holds from the beginning: it counts as read then.
    looked_at = 1 + len([each for each in await store.list(source.name) if each.key != BACKUP_JSON])
    store.read_count, store.ahead = -looked_at, []

    def on_progress(progress: Progress) -> None:
        store.committed = progress.committed_t // SEGMENT

    async with faulty_database(inner, Faults(round_trip_s=0.002)) as target:
        await restore(store, target, in_flight=8, prefetch_bytes=prefetch_bytes, on_progress=on_progress)

    assert len(store.ahead) >= SEGMENTS
    assert 1 < max(store.ahead) <= most < SEGMENTS / 2
    await check_copy(source, inner)


async def test_what_is_not_wanted_is_not_loaded(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE, *MANY[:60]), await new_database()
    keys: list[str] = []

    class Noting(MemoryStore):
        async def read(self, name: str, key: str) -> bytes:
            keys.append(key)
            return await super().read(name, key)

    store = Noting()
    await backup(source, store, segment_size=SEGMENT)
    listed = [each.key for each in await store.list(source.name) if each.key != "backup.json"]
    keys.clear()

    assert (await restore(store, target, segments=1)).segments_left == len(listed) - 1

    assert set(keys) == {listed[0], listed[-1], "backup.json"}, "the last one has the schema"
