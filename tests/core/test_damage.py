"""Any damage to a small backup is found by `verify`: all positions, all lengths, all segments."""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations

import pytest

from asyncrestore.errors import Conflict, DamageError
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import LogChunk
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores.memory import MemoryStore
from tests.support import small_backup
from tests.support.damage import NAME, Objects, store_of

pytestmark = pytest.mark.anyio

SOUND = small_backup.objects()
FOREIGN = small_backup.objects("another")
HISTORY = [row for t in range(6, 25) for row in small_backup.transaction(t).rows()]


class Changing(MemoryStore):
    """A store with one segment of a given content, to be quick."""

    def __init__(self, key: str, data: bytes) -> None:
        super().__init__()
        self._place = NAME, key
        self.set(data)

    def set(self, data: bytes) -> None:
        self._objects[self._place] = data


async def refuses(store: MemoryStore) -> bool:
    """Whether verify finds something, and all that a restore would get is the beginning of the history."""
    given: list[LogChunk] = []
    with suppress(DamageError, Conflict):
        history = await StoredHistory.open(store, None)
        for part in history.parts(0):
            given += [chunk async for chunk in await history.load(part)]
    rows = list(LogChunk.join(given).rows())
    return rows == HISTORY[: len(rows)] and not (await verify(store)).ok


@pytest.mark.parametrize("key", SOUND)
async def test_every_changed_byte(key: str) -> None:
    sound = SOUND[key]
    store = Changing(key, sound)
    assert f"{key} is damaged" not in str((await verify(store)).problems)
    changed = bytearray(sound)
    for position in range(len(sound)):
        changed[position] ^= 1 + position % 255
        store.set(bytes(changed))
        assert f"{key} is damaged" in (await verify(store)).problems[-1], position
        changed[position] = sound[position]


@pytest.mark.parametrize("key", SOUND)
async def test_every_length(key: str) -> None:
    store = Changing(key, SOUND[key])
    for length in range(len(SOUND[key])):
        store.set(SOUND[key][:length])
        assert f"{key} is damaged" in (await verify(store)).problems[-1], length


@pytest.mark.parametrize("key", SOUND)
async def test_a_damaged_segment_among_others(key: str) -> None:
    for wrong in (b"", SOUND[key][:-1], SOUND[key] + b"\0", b"\0" * 4000, FOREIGN[key]):
        assert await refuses(await store_of({**SOUND, key: wrong})), wrong[:10]


async def test_every_deleted_segment_but_the_last() -> None:
    for key in list(SOUND)[:-1]:
        assert await refuses(await store_of({k: v for k, v in SOUND.items() if k != key}))


async def test_every_order_of_the_segments() -> None:
    for order in list(permutations(SOUND.values()))[1:]:
        assert await refuses(await store_of(dict(zip(SOUND, order, strict=True))))


async def test_every_new_name() -> None:
    """Each segment under each other possible range, in place of its own."""
    limits = [0, 5, 9, 10, 11, 15, 20, 21, 25, 26, 10**9]
    for key, data in SOUND.items():
        rest: Objects = {k: v for k, v in SOUND.items() if k != key}
        for start in limits:
            for end in [limit for limit in limits if limit > start]:
                name = SegmentRange(start, end).key
                if name != key:
                    assert await refuses(await store_of({**rest, name: data})), (key, name)


async def test_every_foreign_segment() -> None:
    for key, data in FOREIGN.items():
        assert await refuses(await store_of({**SOUND, key: data}))
    longer = SegmentRange(0, 25)
    assert (await verify(await store_of({**SOUND, longer.key: small_backup.segment(longer)}))).ok
    store = await store_of({**SOUND, longer.key: small_backup.segment(longer, "another")})
    report = await verify(store)
    assert not report.ok
    assert any("of another database" in problem for problem in report.problems)


async def test_what_is_no_problem_is_told() -> None:
    one = SegmentRange(5, 12)
    store = await store_of({**SOUND, one.key: small_backup.segment(one), "notes.txt": b""})
    report = await verify(store)
    assert report.ok
    assert report.notes[:-1] == [
        "t 5 to 9 are in two segments",
        "t 10 to 11 are in two segments",
        "notes.txt is not a segment",
    ]
    assert "neither encrypted nor signed" in report.notes[-1]
