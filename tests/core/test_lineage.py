"""A segment of another backup, or of another past, is refused wherever it lies."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import Conflict, DamageError, NotAuthorized, SegmentDamaged, SegmentGap
from asyncrestore.history.backup_json import agree, check_backup_json
from asyncrestore.history.catalog import BACKUP_JSON, list_backup
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.query import query
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import LogChunk
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.lineage import Lineage, digest_of
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.encrypted import encrypted
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from tests.support import small_backup
from tests.support.damage import LINEAGE, NAME, Objects, begin, load, store_of
from tests.support.small_backup import RANGES

if TYPE_CHECKING:
    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
SIGNING = SigningKey(KEY)
ELSEWHERE = Lineage("7c9e6679-7425-40de-944b-e07fc1f90ae7", 0)
WHOLE = SegmentRange(0, 25)
FORK = 8
FIRST, MIDDLE, NEWEST = RANGES


def line(lineage: Lineage | None, *ranges: SegmentRange, name: str = "name") -> Objects:
    """A backup of one of two lines of a database, which are the same before t `FORK`."""
    return {
        range_.key: small_backup.segment(range_, name=name, fork_t=FORK, lineage=lineage)
        for range_ in ranges or RANGES
    }


OURS = line(LINEAGE)


async def read(store: Store) -> LogChunk:
    """All that a restore would read."""
    found = await StoredHistory.open(store, None)
    return LogChunk.join([chunk for part in found.parts(0) async for chunk in await found.load(part)])


async def refused(store: Store, encryption: Encryption | None = None) -> bool:
    """Whether verify, restore and query all refuse a store, and `copy` makes no whole copy of it."""
    async with encrypted(store, encryption) as opened:
        refusals = Conflict, DamageError, NotAuthorized
        with pytest.raises(refusals):
            await read(opened)
        with pytest.raises(refusals):
            await query(opened, "FROM datoms")
        with pytest.raises(refusals):
            (await copy(opened, MemoryStore())).raise_for_problems()
        try:
            return not (await verify(opened)).ok
        except (Conflict, NotAuthorized):
            return True


async def test_what_a_backup_writes_is_whole() -> None:
    store = await store_of(OURS)
    assert (await verify(store)).problems == []
    assert list((await read(store)).rows()) == list(small_backup.log(0, 25).rows())
    assert (await verify(await store_of({**OURS, WHOLE.key: line(LINEAGE, WHOLE)[WHOLE.key]}))).ok


@pytest.mark.parametrize("range_", [*RANGES, WHOLE, SegmentRange(5, 21)], ids=lambda range_: range_.key[:27])
async def test_of_another_backup_of_the_same_database(range_: SegmentRange) -> None:
    """Even with the same transactions: nothing but the id shows that it was laid there."""
    for name, lineage in product(("name", "other"), (ELSEWHERE, Lineage(LINEAGE.backup, 3), None)):
        theirs = line(lineage, range_, name=name)
        store = await store_of({**OURS, **theirs})
        if range_ == WHOLE:  # it is read alone
            assert not (await verify(store)).ok, "the superseded ones tell"
            await begin(store)
        assert await refused(store)


@pytest.mark.parametrize("range_", [*RANGES, SegmentRange(5, 21), SegmentRange(9, 11)])
async def test_of_another_past_with_the_same_id(range_: SegmentRange) -> None:
    """Two copies of one backup that were continued from two lines of the database."""
    store = await store_of({**OURS, **line(LINEAGE, range_, name="other")})
    assert await refused(store)
    assert any("does not follow" in problem for problem in (await verify(store)).problems)


async def test_an_older_generation() -> None:
    again = MIDDLE.key.replace(".parquet", ".1.parquet")
    sound = {**OURS, again: OURS[MIDDLE.key]}
    assert (await verify(await store_of(sound))).ok
    theirs = line(ELSEWHERE, MIDDLE)[MIDDLE.key]
    assert not (await verify(await store_of({**sound, MIDDLE.key: theirs}))).ok
    assert await refused(await store_of({**sound, again: theirs}))


@pytest.mark.parametrize("encryption", [KEY, SIGNING], ids=["encrypted", "signed"])
@pytest.mark.parametrize("range_", RANGES)
async def test_one_key_for_two_lines(range_: SegmentRange, encryption: Encryption) -> None:
    """Of one name in two stores, and of two names in one; with an object of the other laid over ours."""
    ours, theirs = MemoryStore(), MemoryStore()
    for store, name, objects in (
        (ours, NAME, OURS),
        (theirs, NAME, line(ELSEWHERE, name="other")),
        (theirs, "other", line(LINEAGE, name="other")),
    ):
        async with encrypted(store, encryption) as opened:
            for key, data in objects.items():
                await opened.publish(name, key, data)
    for name in (NAME, "other"):
        laid = {**await load(ours), range_.key: await theirs.read(name, range_.key)}
        assert await refused(await store_of(laid), encryption)
    moved = MemoryStore()
    for key, data in (await load(ours)).items():
        await moved.publish("moved", key, data)
    async with encrypted(moved, encryption) as opened:
        with pytest.raises(SegmentDamaged, match="not for this place") as raised:
            await read(opened)
        assert "`as_name`" in raised.value.hint


async def test_a_tail_that_was_dropped() -> None:
    store = await store_of({FIRST.key: OURS[FIRST.key], MIDDLE.key: OURS[MIDDLE.key]})
    assert (await verify(store)).ok, "nothing in it tells"
    assert (await verify(store, expect_t=19)).ok
    assert (await verify(store, expect_t=20)).problems == [
        "it ends at t 19, before t 20, which is expected",
    ]
    assert len(await query(store, "FROM transactions", expect_t=19)) == 14
    with pytest.raises(SegmentGap, match="ends at t 19, before t 24"):
        await query(store, "FROM datoms", expect_t=24)


async def test_compaction_keeps_whose_it_is() -> None:
    store = await store_of(OURS)
    await compact(store)
    merged = Segment((await load(store))[WHOLE.key])
    assert Lineage.of(merged.info) == LINEAGE
    for key in OURS:
        await store.delete(NAME, key)
    assert (await verify(store)).problems == []

    tail = await store_of(line(LINEAGE, MIDDLE, NEWEST))
    assert (await compact(tail)).segments == [SegmentRange(10, 25)]
    rest = Segment((await load(tail))[SegmentRange(10, 25).key])
    before = next(small_backup.transaction(9).transactions())
    assert rest.info.previous == digest_of(before)
    await tail.publish(NAME, FIRST.key, OURS[FIRST.key])
    assert (await verify(tail)).problems == []

    for theirs in (line(ELSEWHERE, MIDDLE), line(LINEAGE, MIDDLE, name="other")):
        with pytest.raises((Conflict, DamageError)):
            await compact(await store_of({**OURS, **theirs}))


async def test_what_was_written_before_there_were_ids() -> None:
    old = line(None, FIRST, MIDDLE)
    since = Lineage(LINEAGE.backup, 20)
    store = await store_of({**old, **line(since, NEWEST)})
    assert (await verify(store)).problems == []
    assert len(await read(store))
    assert (await copy(store, MemoryStore())).ok
    assert (await compact(store)).segments == [WHOLE]
    assert Lineage.of(Segment((await load(store))[WHOLE.key]).info) == since
    assert (await verify(store)).problems == []
    # a link that there is counts, whatever is before it
    assert await refused(await store_of({**old, **line(since, NEWEST, name="other")}))
    # and what must have the id cannot do without
    assert await refused(await store_of({**old, **line(Lineage(since.backup, 15), NEWEST)}))


async def test_gaps_and_empty_segments_break_no_chain() -> None:
    empty = SegmentRange(0, 3), SegmentRange(3, 6), SegmentRange(6, 10), SegmentRange(10, 25)
    assert (await verify(await store_of(line(LINEAGE, *empty)))).problems == []
    [problem] = (await verify(await store_of({k: v for k, v in OURS.items() if k != MIDDLE.key}))).problems
    assert problem.startswith("no segment holds")


async def test_only_what_follows_is_deleted_as_superseded() -> None:
    for theirs in (line(LINEAGE, FIRST, name="other"), line(ELSEWHERE, FIRST)):
        store = await store_of({**OURS, **theirs})
        with pytest.raises((Conflict, DamageError)):
            await delete(store, NAME, superseded=True, confirmed=True)


async def test_all_that_begin_at_once_agree() -> None:
    store = MemoryStore()
    nothing = await list_backup(store, NAME)
    first, second = await agree(nothing, None), await agree(nothing, None)
    assert first == second
    assert (await verify_card(store, None)) == first
    for key, data in line(first).items():
        await store.publish(NAME, key, data)
    found = await info(store)
    assert isinstance(found, StoreInfo)
    assert (found.backups[0].id, found.backups[0].foreign) == (first.backup, [])
    assert BACKUP_JSON in (await delete(store, NAME, confirmed=True)).deleted
    assert await store.list(NAME) == []


async def verify_card(store: Store, newest: bytes | None) -> Lineage | None:
    return await check_backup_json(await list_backup(store, NAME), Segment(newest).info if newest else None)


async def test_what_says_which_backup_it_is() -> None:
    store = await store_of({NEWEST.key: OURS[NEWEST.key]})
    newest = OURS[NEWEST.key]
    assert await verify_card(store, newest) == LINEAGE, "the segments say it"
    assert await agree(await list_backup(store, NAME), LINEAGE) == LINEAGE, "and it is published again"
    assert await verify_card(store, newest) == LINEAGE
    assert await refused(await store_of({**OURS, BACKUP_JSON: ELSEWHERE.to_json()}))
    for foreign in (line(ELSEWHERE, NEWEST), line(None, NEWEST)):
        with pytest.raises(Conflict, match="is of"):
            await verify_card(store, foreign[NEWEST.key])
    for wrong in (b"", b"{}", b"[" * 9999, b'{"id": 1, "since": 0}', b'{"id": "x", "since": true}'):
        damaged = await store_of({**OURS, BACKUP_JSON: wrong})
        assert await verify_card(damaged, newest) == LINEAGE
        assert (await verify(damaged)).ok
        assert len(await read(damaged)), "nobody needs it to read"
        with pytest.raises(DamageError, match="damaged"):
            await agree(await list_backup(await store_of({BACKUP_JSON: wrong}), NAME), None)
    large = await store_of({**OURS, BACKUP_JSON: b"[" + b"{}," * 100_000 + b"{}]"})
    assert (await verify(large)).ok, "it is too large to be looked at"
    unnamed = {**line(None, NEWEST), BACKUP_JSON: b'{"format": 2, "id": "x", "since": 0}'}
    assert not (await verify(await store_of(unnamed))).ok, "no segment is of that backup"
    await begin(secret := MemoryStore(), encryption=KEY)
    with pytest.raises(NotAuthorized):
        await agree(await list_backup(secret, NAME), None)


async def test_two_backups_are_not_copied_into_one() -> None:
    copied = await store_of(line(ELSEWHERE, FIRST))
    with pytest.raises(Conflict, match="is another backup"):
        await copy(await store_of(OURS), copied)
    spare = MemoryStore()
    assert (await copy(await store_of(OURS), spare)).ok
    assert Lineage.from_json(await spare.read(NAME, BACKUP_JSON)) == LINEAGE
    assert await load(spare) == OURS
    assert (await copy(spare, MemoryStore(), as_name="other")).ok
