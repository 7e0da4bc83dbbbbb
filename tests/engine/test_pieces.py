"""A part at a time: explicit ranges, the next segments, what is left as a value; and spot checks."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.errors import HistoryDiffers, SegmentGap, Unavailable, UsageError
from asyncrestore.history import live
from asyncrestore.jobs import restore as restoring
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.query import query
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.ids import IdCache
from asyncrestore.model.log import t_to_tx
from asyncrestore.pipeline import stages
from asyncrestore.pipeline.stages import BATCH_TRANSACTIONS
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase
from tests.support.damage import begin, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Database
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

ANN = '[{:p/email "ann@x" :p/name "Ann"} {:p/email "bob@x" :p/name "Bob"}]'
MOVES = [f'[{{:p/email "ann@x" :p/city "{i}"}}]' for i in range(6 * BATCH_TRANSACTIONS)]
"""Later ones than are in flight at once use the id cache."""


async def gaps(store: MemoryStore) -> list[SegmentRange]:
    found = await info(store)
    assert isinstance(found, StoreInfo)
    return found.backups[0].gaps


async def test_huge_numbers_are_as_many_as_there_are(new_database: NewDatabase) -> None:
    source, target, store, spare = (
        await new_database(*ODD),
        await new_database(),
        MemoryStore(),
        MemoryStore(),
    )
    huge = 10**20
    await backup(source, store, segment_size=huge, segments=huge, end_t=huge, parallel=huge)
    assert (await copy(store, spare, parallel=huge)).ok
    rows = await query(spare, "FROM transactions", max_rows=huge)
    assert (await restore(source, target, segments=huge)).transactions == len(rows)
    assert (await verify(spare, against=target, max_differences=huge)).ok


async def test_backup_and_restore_a_segment_at_a_time(new_database: NewDatabase) -> None:
    source, target, store = await new_database(*ODD), await new_database(), MemoryStore()
    end = await source.basis_t() + 1

    pieces = []
    while True:
        done = await backup(source, store, segment_size=2, segments=1)
        pieces += done.segments
        if not done.missing:
            break
        assert done.end == done.missing[0].start == 2 * len(pieces)
    assert pieces == [SegmentRange(start, min(start + 2, end)) for start in range(0, end, 2)]
    assert done.end == end

    left: list[int] = []
    while not left or left[-1]:
        report = await restore(store, target, segments=1)
        assert report.transactions in {1, 2}
        left.append(report.segments_left)
    assert left == list(range(len(left) - 1, -1, -1))
    assert (await verify(store, against=target)).problems == []
    again = await restore(store, target, segments=1)
    assert (again.transactions, again.segments_left) == (0, 0)


async def test_explicit_ranges_leave_gaps_that_are_told_and_filled(new_database: NewDatabase) -> None:
    people = [f'[{{:p/email "{i}@x"}}]' for i in range(158)]
    source, target, store = await new_database(SCHEMA, *people), await new_database(), MemoryStore()
    end = await source.basis_t() + 1
    missing = [SegmentRange(106, 110), SegmentRange(119, 146)]

    await backup(source, store, end_t=106)
    assert (await backup(source, store, start_t=110, end_t=119)).segments == [SegmentRange(110, 119)]
    report = await backup(source, store, start_t=146, end_t=10**6)

    assert report.missing == await gaps(store) == missing
    assert report.end == 106
    with pytest.raises(SegmentGap, match="106 to 109, 119 to 145"):
        await restore(store, target)
    nothing = await backup(source, store, start_t=110, end_t=119)
    assert (nothing.segments, nothing.missing) == ([], missing)

    assert (await backup(source, store, segments=1)).missing == missing[1:]
    last = await backup(source, store)
    assert (last.segments, last.missing, last.end) == (missing[1:], [], end)
    await restore(store, target)
    assert (await verify(source, against=target)).problems == []


async def test_parallel_backup_of_a_thousand_transactions(new_database: NewDatabase) -> None:
    people = [f'[{{:p/email "{i}@x"}}]' for i in range(1060)]
    source, target, store = await new_database(SCHEMA, *people), await new_database(), MemoryStore()

    first = await backup(source, store, segment_size=10, segments=40, parallel=8)
    rest = await backup(source, store, segment_size=10, parallel=8)

    assert (len(first.segments), first.end) == (40, 400)
    assert len(rest.segments) == 67
    assert (await restore(store, target)).transactions == 1061
    assert (await verify(store, against=target)).problems == []


async def test_segments_without_transactions_do_not_count(new_database: NewDatabase) -> None:
    """Where t is sparse a segment, or its tail, may be empty: one at a time still comes to the end."""
    people = [f'[{{:p/email "{number}@x"}}]' for number in range(len(PEOPLE))]  # each without the others
    source, target, store = await new_database(SCHEMA, *people), await new_database(), MemoryStore()

    def sparse(rows: list[Row]) -> list[Row]:
        return [row for row in rows if not t_to_tx(9) <= row[0] <= t_to_tx(14)]

    await backup(AlteredDatabase(source, sparse), store, name="db", segment_size=2)
    reports = [await restore(store, target, segments=1) for _ in range(5)]

    assert [report.transactions for report in reports] == [2, 1, 1, 1, 0]
    assert [report.segments_left for report in reports] == [5, 4, 1, 0, 0]


async def test_a_live_source_a_part_at_a_time(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = await new_database(*ODD), await new_database()
    monkeypatch.setattr(live, "LIVE_PART", 10)

    first = await restore(source, target, segments=1)
    assert (first.transactions, first.segments_left) == (10, (len(ODD) - 1) // 10)
    assert (await restore(source, target)).segments_left == 0
    assert (await verify(source, against=target)).problems == []


async def test_overlapping_segments(new_database: NewDatabase) -> None:
    """Two backups with different segment sizes, each unaware of the other, into one store."""
    source, target, store, other = (
        await new_database(*ODD),
        await new_database(),
        MemoryStore(),
        MemoryStore(),
    )
    for each in (store, other):
        await begin(each)
    await backup(source, store, name="db", segment_size=7)
    await backup(source, other, name="db", segment_size=10)
    for key, data in (await load(other)).items():
        await store.publish("db", key, data)

    assert (await restore(store, target)).transactions == len(ODD)
    assert (await verify(store, against=target)).problems == []


@pytest.mark.parametrize("rate", [0, 0.5, 1])
async def test_spot_checks_of_a_sound_restore(new_database: NewDatabase, rate: float) -> None:
    source, target = await new_database(SCHEMA, ANN, *MOVES), await new_database()

    report = await restore(source, target, spot_check=rate)

    batches = 2 + len(MOVES) // BATCH_TRANSACTIONS
    assert (report.spot_checked > batches) == (rate > 0)
    assert (await verify(source, against=target)).problems == []


async def test_spot_check_finds_a_wrong_cached_id(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, unchecked, checked = (
        await new_database(SCHEMA, ANN, *MOVES),
        *[await new_database() for _ in "12"],
    )
    [(ann,)] = await source.query('[:find ?e :where [?e :p/email "ann@x"]]')
    [(bob,)] = await source.query('[:find ?e :where [?e :p/email "bob@x"]]')

    class MixedUp(IdCache):
        def get(self, source: int) -> int | None:
            return super().get(bob if source == ann else source)

    monkeypatch.setattr(restoring, "IdCache", MixedUp)
    monkeypatch.setattr(stages, "BATCH_TRANSACTIONS", 1)  # so that ids are cached soon
    with pytest.raises(
        HistoryDiffers, match=f"taken for the source's {ann}, but it has the original id {bob}"
    ):
        await restore(source, checked, spot_check=1)
    assert (await restore(source, unchecked)).transactions == 2 + len(MOVES)


class Away(DatabaseWrapper):
    """A target that cannot be asked for values, for that many times."""

    def __init__(self, inner: Database, times: float) -> None:
        super().__init__(inner)
        self.times = times

    async def values_of(self, attribute: str, entities: Sequence[int]) -> list[int | None]:
        self.times -= 1
        if self.times >= 0:
            raise Unavailable("away")
        return await self.inner.values_of(attribute, entities)


async def test_a_spot_check_gets_over_an_outage(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, ANN, *MOVES), Away(await new_database(), 2)
    assert (await restore(source, target, spot_check=1)).transactions == 2 + len(MOVES)
    assert target.times < -1


async def test_a_spot_check_is_as_patient_as_the_restore(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, ANN), Away(await new_database(), inf)
    with anyio.fail_after(30), pytest.raises(Unavailable, match="away"):
        await restore(source, target, spot_check=1, patience_s=0.1)


async def test_bounds_that_make_no_sense(new_database: NewDatabase) -> None:
    source, target, store = await new_database(SCHEMA), await new_database(), MemoryStore()
    for start, end, says in (
        (-1, None, "start_t must be"),
        (5, 5, "must be greater than `start_t`"),
        (5, 4, "must be greater than `start_t`"),
    ):
        with pytest.raises(UsageError, match=says):
            await backup(source, store, start_t=start, end_t=end)
    with pytest.raises(UsageError, match="at least 1"):
        await backup(source, store, segments=0)
    for bad in ({"segments": 0}, {"id_cache_size": -1}, {"spot_check": 1.1}, {"spot_check": -0.1}):
        with pytest.raises(UsageError, match="must be"):
            await restore(source, target, **bad)
