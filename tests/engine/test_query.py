"""What `as_of` says of a backup is what Datomic says of the database as of then."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.query import query
from asyncrestore.model.values import Keyword, Symbol
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, PEOPLE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.s3 import Bucket

pytestmark = pytest.mark.anyio


def dated(day: int, transaction: str) -> str:
    date = datetime.fromordinal(737_425 + day).date()
    return f'{transaction.rstrip()[:-1]} [:db/add "datomic.tx" :db/txInstant #inst "{date}"]]'


def text(value: Any) -> str:
    """A value as the view has it."""
    if value == -62_135_769_600_000:  # before Python's first year
        return "0000-12-30T00:00:00.000Z"
    if isinstance(value, (Keyword, Symbol)):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, tuple):
        return json.dumps([str(slot) if isinstance(slot, UUID) else slot for slot in value])
    return str(value)


async def test_as_of_is_datomics(new_database: Callable[..., Awaitable[BridgeDatabase]]) -> None:
    source = await new_database(*(dated(day, each) for day, each in enumerate(ODD)))
    store = MemoryStore()
    await backup(source, store, segment_size=7)
    attributes = (await query(store, "SELECT id FROM attributes WHERE id >= 73")).to_pylist()
    transactions = (await query(store, "SELECT t, instant FROM transactions ORDER BY t")).to_pylist()
    assert len(transactions) == len(ODD)

    compared = 0
    for each in transactions[::3] + transactions[-1:]:
        sql = f"SELECT e, a, value FROM as_of({each['t']}) WHERE a >= 73"
        rows = (await query(store, sql)).to_pylist()
        # Datomic's queries pass over NaN, which does not equal itself there.
        ours = sorted((row["e"], row["a"], row["value"]) for row in rows if row["value"] != "nan")
        milliseconds = int(each["instant"].astimezone(UTC).timestamp() * 1000)
        theirs = []
        for attribute in (row["id"] for row in attributes):
            found = await source.query(
                "[:find ?e ?v :in $ ?a :where [?e ?a ?v]]", str(attribute), as_of_ms=milliseconds
            )
            theirs += [(e, attribute, text(v)) for e, v in found]
        assert ours == sorted(theirs), each
        compared += len(ours)
    assert compared > 300


async def test_every_store_answers_the_same(
    new_database: Callable[..., Awaitable[BridgeDatabase]], bucket: Bucket, tmp_path: Path
) -> None:
    source = await new_database(SCHEMA, *PEOPLE)
    sql = "SELECT t, e, attribute, value, added FROM datoms ORDER BY ALL"
    answers = []
    for store in (str(tmp_path / "store"), bucket.uri()):
        await backup(source, store, segment_size=3, name="db")
        answers.append((await query(store, sql)).to_pylist())
    assert answers[0] == answers[1]
    assert len(answers[0]) > 50
