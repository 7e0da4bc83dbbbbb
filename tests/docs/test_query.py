"""The examples of docs/query.md run as they stand."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import asyncrestore
from tests.docs.test_readme import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.database import BridgeDatabase

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "query.md").read_text()
HISTORY = (
    """[{:db/ident :person/email :db/valueType :db.type/string :db/cardinality :db.cardinality/one
         :db/unique :db.unique/identity}
        {:db/ident :person/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
        {:db/ident :audit/user :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
        [:db/add "datomic.tx" :db/txInstant #inst "2026-01-01"]]""",
    """[{:person/email "ann@example.com" :person/name "Ann"}
        {:db/id "datomic.tx" :db/txInstant #inst "2026-01-02" :audit/user "root"}]""",
    """[{:person/email "ann@example.com" :person/name "Anne"}
        {:db/id "datomic.tx" :db/txInstant #inst "2026-01-03" :audit/user "bob"}]""",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
async def place(tmp_path: Path, new_database: Callable[..., Awaitable[BridgeDatabase]]) -> Path:
    source = await new_database(*HISTORY)
    await asyncrestore.backup(source, str(tmp_path / "backups"), name="people", segment_size=7)
    return tmp_path


async def test_sql_examples(place: Path) -> None:
    history, changes, sizes, as_of, last, at_a_time = [
        (await asyncrestore.query(str(place / "backups"), sql)).to_pylist() for sql in blocks("sql")
    ]
    assert [(row["value"], row["added"]) for row in history] == [("ann@example.com", True)]
    assert [(row["who"], row["attribute"], row["value"], row["added"]) for row in changes] == [
        ("root", "person/email", "ann@example.com", True),
        ("root", "person/name", "Ann", True),
        ("bob", "person/name", "Ann", False),
        ("bob", "person/name", "Anne", True),
    ]
    assert {"attribute": "person/name", "datoms": 3, "bytes": 10} in sizes
    person = {row["attribute"]: row["value"] for row in as_of}
    assert person == {"person/email": "ann@example.com", "person/name": "Anne"}
    assert {row["value"] for row in last} >= {"ann@example.com", "Anne"}
    assert {row["value"] for row in at_a_time} == {"ann@example.com", "Ann"}


async def test_shell_examples(place: Path) -> None:
    newest, counted = (run(["sh", "-c", line], place) for line in blocks("sh")[0].splitlines())
    assert "audit/user: bob" in newest
    assert json.loads(counted) == {"columns": ["changes"], "rows": [[1]]}


async def test_python_examples(place: Path) -> None:
    frame, files = (run([sys.executable, "-W", "error", "-c", block], place) for block in blocks("python"))
    assert re.search(r"person/name\W+3\b", frame)
    assert "Anne" in files


def test_the_macro_is_the_sql_that_is_shown() -> None:
    from asyncrestore.jobs.views import VIEWS

    shown = " ".join(blocks("sql")[4].split()).replace("8", "last_t")
    assert shown in " ".join(VIEWS.split())
