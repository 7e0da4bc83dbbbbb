"""Verify finds each kind of difference and names it, in targets that were altered in just one way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import Conflict, HistoryDiffers, UsageError
from asyncrestore.history import live
from asyncrestore.history.base import PAGE_WEIGHT
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import t_to_tx
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.verifying import differences
from tests.histories import PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

# In the target every t is 2 higher: the bookkeeping takes two transactions. Source t 7 makes Ann and Bob, t 8
# renames Ann.
RENAMING = t_to_tx(10)
LAST = t_to_tx(18)


def _is(row: Row, tx: int, raw: object) -> bool:
    return row[0] == tx and row[1][3] == raw


def _with(row: Row, **changes: object) -> Row:
    names = ("e", "a", "kind", "raw", "added")
    return row[0], tuple(changes.get(name, old) for name, old in zip(names, row[1], strict=True))  # type: ignore[return-value]


def _change(rows: list[Row], tx: int, old: object, **changes: object) -> list[Row]:
    return [_with(row, **changes) if _is(row, tx, old) else row for row in rows]


def missing(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not _is(row, RENAMING, "Anne")]


def added(rows: list[Row]) -> list[Row]:
    return [
        copy
        for row in rows
        for copy in ([row, _with(row, raw="Anna")] if _is(row, RENAMING, "Anne") else [row])
    ]


def changed(rows: list[Row]) -> list[Row]:
    return _change(rows, RENAMING, "Anne", raw="Anna")


def turned(rows: list[Row]) -> list[Row]:
    return _change(rows, RENAMING, "Anne", added=False)


def doubled(rows: list[Row]) -> list[Row]:
    return [copy for row in rows for copy in ([row, row] if _is(row, RENAMING, "Anne") else [row])]


def in_another_transaction(rows: list[Row]) -> list[Row]:
    moved = [(t_to_tx(11), row[1]) if _is(row, RENAMING, "Anne") else row for row in rows]
    return sorted(moved, key=lambda row: row[0])


def another_instant(rows: list[Row]) -> list[Row]:
    return [_with(row, raw=row[1][3] + 1) if row[0] == RENAMING and row[1][2] == "i" else row for row in rows]  # type: ignore[operator]


def ids_swapped(rows: list[Row]) -> list[Row]:
    ann = next(row[1][0] for row in rows if _is(row, RENAMING, "Anne"))
    bob = next(row[1][0] for row in rows if _is(row, t_to_tx(9), "Bob"))
    other = {ann: bob, bob: ann}
    return [_with(row, e=other.get(row[1][0], row[1][0])) if row[0] >= RENAMING else row for row in rows]


def two_with_one_original_id(rows: list[Row]) -> list[Row]:
    ids = [row for row in rows if row[0] == t_to_tx(9) and row[1][2] == "l" and row[1][0] >> 42 != 3]
    ids = [row for row in ids if isinstance(row[1][3], int) and row[1][3] >> 42 > 3]
    return _change(rows, t_to_tx(9), ids[0][1][3], raw=ids[1][1][3])


def head_missing(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[0] != t_to_tx(8)]


def only_the_head(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[0] <= t_to_tx(7)]


def middle_missing(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[0] != RENAMING]


def end_missing(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[0] < LAST]


def order_changed(rows: list[Row]) -> list[Row]:
    place = {t_to_tx(11): t_to_tx(12), t_to_tx(12): t_to_tx(11)}
    return sorted(rows, key=lambda row: place.get(row[0], row[0]))


ALTERATIONS: dict[Callable[[list[Row]], list[Row]], str] = {
    missing: r"t 8: missing in the target: \+ entity \d+ :p/name 'Anne'",
    added: r"t 8: only in the target \(t 10\): \+ entity \d+ :p/name 'Anna'",
    changed: r"t 8: missing in the target: \+ entity \d+ :p/name 'Anne'",
    turned: r"t 8: only in the target \(t 10\): - entity \d+ :p/name 'Anne'",
    doubled: r"t 8: only in the target \(t 10\): \+ entity \d+ :p/name 'Anne'",
    in_another_transaction: r"t 9: only in the target \(t 11\): \+ entity \d+ :p/name 'Anne'",
    another_instant: r"t 8: missing in the target: \+ entity \d+ :db/txInstant",
    ids_swapped: r"t 8: missing in the target: \+ entity \d+ :p/name 'Anne'",
    two_with_one_original_id: r"two entities|belongs to the target's entities",
    head_missing: r"t 6: the transaction is missing",
    middle_missing: r"t 8: the transaction is missing",
    end_missing: r"t 16: the transaction is missing",
    order_changed: r"out of order",
}


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
async def test_altered_target_is_caught(
    new_database: NewDatabase, alter: Callable[[list[Row]], list[Row]]
) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    await restore(source, target)
    assert (await verify(source, against=target)).ok

    def altered(rows: list[Row]) -> list[Row]:
        return alter(rows) if rows[-1][0] == LAST else rows  # the page with the history, not the bootstrap

    report = await verify(source, against=AlteredDatabase(target, altered), max_differences=100)

    assert not report.ok
    assert any(re.search(ALTERATIONS[alter], problem) for problem in report.problems), report.problems
    with pytest.raises(HistoryDiffers):
        report.raise_for_problems()


@pytest.mark.parametrize("weight", [PAGE_WEIGHT, 8])
async def test_an_entity_that_lost_its_original_id(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, weight: int
) -> None:
    """Also when that is in a later page of the log than where it got it."""
    monkeypatch.setattr(live, "PAGE_WEIGHT", weight)
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    await restore(source, target)
    [(email,)] = await target.query("[:find (min ?email) :where [_ :p/email ?email]]")
    await target.transact_edn([f'[[:db/retractEntity [:p/email "{email}"]]]'])

    report = await verify(source, against=target)

    lost = t_to_tx(0) ^ LAST
    assert any(f"target t {lost + 1}: entity" in each and "lost its" in each for each in report.problems)
    assert any("that no restore wrote" in each for each in report.problems), report.problems


def test_a_reference_to_what_the_source_lacks_is_shown_within_a_tuple() -> None:
    raw = (("r", "target entity 5"), None, ("l", 3), ("r", 7))
    assert differences._readable("t", raw) == ("target entity 5", None, 3, 7)


async def test_only_the_first_differences_are_reported_but_all_are_counted(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    await restore(source, target)

    report = await verify(source, against=AlteredDatabase(target, only_the_head), max_differences=2)

    assert (len(report.problems), report.problem_count) == (2, 1 + len(PEOPLE))


async def test_what_cannot_be_compared(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA), await new_database()
    with pytest.raises(Conflict, match="was not restored"):
        await verify(source, against=target)
    with pytest.raises(UsageError, match="nothing to compare"):
        await verify("datomic:local://system/db?storage-dir=:mem", against=None)
    with pytest.raises(UsageError, match="nothing to compare"):
        await verify(source)
    with pytest.raises(UsageError, match="max_differences"):
        await verify(MemoryStore(), max_differences=0)
