"""Point in time: a restore that ends at a t or a time, and goes on from there later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.errors import Conflict, UsageError
from asyncrestore.history import live
from asyncrestore.history.live import LiveHistory
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.comparison import FIRST_T
from tests.support.databases import EndingAt

if TYPE_CHECKING:
    from asyncrestore.progress import Progress
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("segment_size", [1, 4, 10_000])
@pytest.mark.parametrize("t", [FIRST_T, FIRST_T + 9, FIRST_T + len(ODD) - 1])
async def test_restore_ends_at_a_t_and_continues(
    new_database: NewDatabase, segment_size: int, t: int
) -> None:
    source, target, store = await new_database(*ODD), await new_database(), MemoryStore()
    await backup(source, store, segment_size=segment_size)

    told: list[Progress] = []

    report = await restore(store, target, until_t=t, on_progress=told.append)

    assert (told[-1].end_t, told[-1].committed_t) == (t + 1, t + 1), "not where the segment would end"
    assert (report.last_t, report.transactions) == (t, t - FIRST_T + 1)
    for checked in (store, source):
        verified = await verify(checked, against=target, until_t=t)
        assert (verified.problems, verified.transactions) == ([], report.transactions)
    whole = await verify(store, against=target)
    assert whole.problem_count == len(ODD) - report.transactions
    assert (await restore(store, target, until_t=t)).transactions == 0
    # Without it, the next run goes on.
    assert (await restore(source, target)).transactions == len(ODD) - report.transactions
    assert (await verify(store, against=target)).problems == []


async def test_target_that_goes_on_differs(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    await restore(source, target)
    report = await verify(source, against=target, until_t=FIRST_T + 2)
    assert report.problem_count == len(PEOPLE) - 2
    assert "not in the source" in report.problems[0]


INSTANTS = ("2020-01-01", "2020-01-02", "2020-01-02", "2020-01-02", "2020-01-05T12:00:00.250", "2020-01-06")
"""Instants of the transactions from `FIRST_T` on; equal ones are one point in time."""

TIMES = {
    "2020-01-01T00:00:00Z": 0,
    "2020-01-01T23:59:59.999Z": 0,
    "2020-01-02T00:00:00Z": 3,
    "2020-01-02T02:00:00+02:00": 3,
    "2020-01-05T12:00:00.249999Z": 3,
    "2020-01-05T12:00:00.250Z": 4,
    "2020-01-06T00:00:00Z": 5,
    "2120-01-01T00:00:00Z": 5,
}


def dated(instants: tuple[str, ...]) -> list[str]:
    dates = [f'{{:db/id "datomic.tx" :db/txInstant #inst "{instant}"}}' for instant in instants]
    return [
        f"[{date} {SCHEMA[1:]}" if not i else f'[{date} {{:p/name "{i}"}}]' for i, date in enumerate(dates)
    ]


@pytest.mark.parametrize(
    "where", ["live", "live in small pages", "one segment", "many segments", "row groups"]
)
async def test_restore_ends_at_a_time(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    database, store = await new_database(*dated(INSTANTS)), MemoryStore()
    if where in ("live in small pages", "row groups"):
        monkeypatch.setattr(live, "PAGE_WEIGHT", 3)
        monkeypatch.setattr("asyncrestore.jobs.backup.PAGE_WEIGHT", 3)
    if "live" not in where:
        await backup(database, store, segment_size=2 if where == "many segments" else 1000)
    source: Any = database if "live" in where else store

    for text, last in TIMES.items():
        time = datetime.fromisoformat(text)
        target = await new_database()
        report = await restore(source, target, until_time=time)
        assert report.last_t == FIRST_T + last, text
        verified = await verify(source, against=target, until_time=time)
        assert (verified.problems, verified.transactions) == ([], last + 1)

    target = await new_database()
    with pytest.raises(UsageError, match=r"begins after 2019-12-31T23:59:59\.999000"):
        await restore(source, target, until_time=datetime(2020, 1, 1, tzinfo=UTC) - timedelta(milliseconds=1))
    await restore(source, target)  # it was left empty


async def test_ends_that_cannot_be(new_database: NewDatabase) -> None:
    source, target, store = await new_database(SCHEMA, *PEOPLE), await new_database(), MemoryStore()
    last_t = FIRST_T + len(PEOPLE)
    await backup(source, store)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"until_t": 5}, "begins at t 6, after t 5"),
        ({"until_t": -1}, "until_t must be an integer, at least 0, and is -1"),
        ({"until_t": last_t + 1}, f"ends at t {last_t}, before t {last_t + 1}"),
        ({"until_t": 8, "until_time": datetime.now(UTC)}, "Both"),
        ({"until_time": datetime(2020, 1, 1)}, "no time zone"),  # noqa: DTZ001 - that is the mistake
        ({"until_time": datetime(1960, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "begins after"),
    ]
    for options, says in wrong:
        for history_ in (source, store):
            with pytest.raises(UsageError, match=says):
                await restore(history_, target, **options)
            with pytest.raises(UsageError, match=says):
                await verify(history_, against=target, **options)
    with pytest.raises(UsageError, match="no target was given"):
        await verify(store, until_t=8)
    empty = await new_database()
    with pytest.raises(UsageError, match="is empty"):
        await restore(empty, target, until_time=datetime.now(UTC))

    await restore(store, target, until_t=8)
    for earlier in (7, 6):
        with pytest.raises(UsageError, match="has everything up to source t 8: that is after t"):
            await restore(store, target, until_t=earlier)
    assert (await restore(store, target)).first_t == 8
    with pytest.raises(Conflict, match="another database"):
        await restore(await new_database(SCHEMA), target, until_t=6)


async def test_a_live_history_knows_the_schema_of_its_end(new_database: NewDatabase) -> None:
    """A transaction that comes between two requests to the source is not part of it."""
    source = await new_database(SCHEMA, *PEOPLE)
    basis_t = await source.basis_t()
    await source.transact_edn(['[{:db/id :p/name :db/doc "x" :db/ident :p/renamed}]'])

    schema = await (await LiveHistory.open(EndingAt(source, basis_t))).schema()

    attribute = schema.find("p/name")
    assert attribute is not None
    assert schema.attributes[attribute].ident == "p/name"
