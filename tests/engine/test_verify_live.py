"""A backup beside its source: segments that are sound by their digests, and are not the source's history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import Conflict, HistoryDiffers
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import t_to_tx, tx_to_t
from asyncrestore.stores.memory import MemoryStore
from tests.engine import test_verify as of_targets
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase
from tests.support.damage import NAME, load
from tests.support.databases import EndingAt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

    Alter = Callable[[list[Row]], list[Row]]

pytestmark = pytest.mark.anyio

INSTALLING = 2
"""In a target each t of these histories is that much higher, and the alterations of targets say it so."""

SIZE = 5


def reordered(rows: list[Row]) -> list[Row]:
    first, second = t_to_tx(13), t_to_tx(14)
    other = {first: second, second: first}
    return sorted(((other.get(tx, tx), datom) for tx, datom in rows), key=lambda row: row[0])


def ids_swapped(rows: list[Row]) -> list[Row]:
    """In one segment only: of a source that goes on like that nothing shows which of the two is right."""
    there = any(row[0] == of_targets.RENAMING for row in rows)
    return of_targets.ids_swapped(rows) if there else rows


ALTERATIONS: dict[Alter, str] = {
    of_targets.missing: r"t 8: missing in the backup: \+ entity \d+ :p/name 'Anne'",
    of_targets.added: r"t 8: only in the backup: \+ entity \d+ :p/name 'Anna'",
    of_targets.changed: r"t 8: missing in the backup: \+ entity \d+ :p/name 'Anne'",
    of_targets.turned: r"t 8: only in the backup: - entity \d+ :p/name 'Anne'",
    of_targets.doubled: r"t 8: only in the backup: \+ entity \d+ :p/name 'Anne'",
    of_targets.in_another_transaction: r"t 9: only in the backup: \+ entity \d+ :p/name 'Anne'",
    of_targets.another_instant: r"t 8: missing in the backup: \+ entity \d+ :db/txInstant",
    ids_swapped: r"t 8: missing in the backup: \+ entity \d+ :p/name 'Anne'",
    of_targets.head_missing: r"t 6: the source's transaction is missing",
    of_targets.middle_missing: r"t 8: the source's transaction is missing",
    of_targets.end_missing: r"t 16: the source's transaction is missing",
    reordered: r"t 11: only in the backup",
}


def _in_source(alter: Alter) -> Alter:
    def altered(rows: list[Row]) -> list[Row]:
        found = alter([(tx + INSTALLING, datom) for tx, datom in rows])
        return [(tx - INSTALLING, datom) for tx, datom in found]

    return altered


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
async def test_an_altered_segment_is_named_and_mended(new_database: NewDatabase, alter: Alter) -> None:
    source, store = await new_database(SCHEMA, *PEOPLE), MemoryStore()
    await backup(AlteredDatabase(source, _in_source(alter)), store, name=NAME, segment_size=SIZE)
    before = await load(store)
    # The segments are sound by their digests. `alter` sees a transaction that was read alone otherwise.
    assert all("does not follow" in problem for problem in (await verify(store)).problems)

    report = await verify(store, live=source, max_differences=100)

    assert any(re.search(ALTERATIONS[alter], problem) for problem in report.problems), report.problems
    with pytest.raises(HistoryDiffers, match="is damaged"):
        report.raise_for_problems()

    repaired = await repair(source, store, name=NAME, segment_size=SIZE)
    assert repaired.ok
    assert repaired.aside
    assert any("differs from" in each.reason for each in repaired.aside)
    assert all("differs from" in each.reason or "does not follow" in each.reason for each in repaired.aside)
    assert before.items() <= (await load(store)).items(), "nothing is deleted or replaced"
    assert (await verify(store, live=source)).problems == []
    target = await new_database()
    await restore(store, target)
    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_a_sound_backup_is_behind_or_whole(new_database: NewDatabase) -> None:
    source, store, target = await new_database(*ODD), MemoryStore(), await new_database()
    ts = await source.transaction_ts(0, await source.basis_t() + 1)
    await backup(EndingAt(source, ts[-4]), store, name=NAME, segment_size=SIZE)

    report = await verify(store, live=source)
    assert (report.ok, report.behind, report.live) == (True, 3, source.uri)
    older = await load(store)

    await backup(source, store, name=NAME, segment_size=SIZE)
    report = await verify(store, live=source)
    assert (report.ok, report.behind) == (True, 0)

    await restore(store, target)
    store = MemoryStore()
    for key, data in older.items():
        await store.publish(NAME, key, data)
    report = await verify(store, against=target)
    assert (report.problems, report.ahead) == ([], 3)
    assert not (await verify(store, against=target, until_t=ts[-4])).ok, "it was to end there"
    assert not (await verify(EndingAt(source, ts[-4]), against=target)).ok, "no copy is ahead of its source"


async def test_what_small_segments_lack_too_is_mended(new_database: NewDatabase) -> None:
    """A large segment hides the small ones that it was made of: putting it aside alone would mend nothing."""
    source, store = await new_database(SCHEMA, *PEOPLE), MemoryStore()
    altered = AlteredDatabase(source, _in_source(of_targets.middle_missing))
    await backup(altered, store, name=NAME, segment_size=SIZE)
    await compact(store, name=NAME)

    repaired = await repair(source, store, name=NAME, segment_size=SIZE)

    assert (repaired.ok, len(repaired.aside)) == (True, 2)
    assert (await verify(store, live=source)).problems == []


async def test_a_source_that_went_another_way_mends_nothing(new_database: NewDatabase) -> None:
    source, store = await new_database(SCHEMA, *PEOPLE), MemoryStore()
    newest = t_to_tx(await source.basis_t())

    def another_end(rows: list[Row]) -> list[Row]:
        return [row for row in rows if row[0] != newest or row[1][3] != "Bob again"]

    await backup(AlteredDatabase(source, another_end), store, name=NAME, segment_size=SIZE)
    before = await load(store)
    assert not (await verify(store, live=source)).ok
    with pytest.raises(Conflict, match=f"t {tx_to_t(newest)}, the backup.s newest, differs"):
        await repair(source, store, name=NAME, segment_size=SIZE)
    assert await load(store) == before
