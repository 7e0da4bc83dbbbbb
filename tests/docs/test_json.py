"""The fields in docs/json.md are those of the reports, and those that commands write."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import asyncrestore
from asyncrestore.demo import DemoReport
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
EXAMPLES: dict[str, dict[str, Any]] = {
    name: json.loads(text)
    for name, text in re.findall(
        r"^<!-- example: (\w+) -->\n```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
}
ROWS: dict[str, str] = dict(re.findall(r"^\| `([\w -]+)` \| (`.*) \|$", PAGE, re.MULTILINE))


def named(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def top(row: str) -> set[str]:
    """The fields of a document, without those in parentheses or behind a colon, which are further in."""
    return named(re.sub(r"\(.*?\)", "", ROWS[row]).partition(":")[0])


def names(report: type) -> set[str]:
    return {field.name for field in fields(report)}


@pytest.mark.parametrize(
    ("row", "report", "more"),
    [
        ("backup", asyncrestore.BackupReport, set()),
        ("restore", asyncrestore.RestoreReport, set()),
        ("verify", asyncrestore.VerifyReport, {"ok"}),
        ("repair", asyncrestore.RepairReport, {"ok"}),
        ("compact", asyncrestore.CompactReport, set()),
        ("copy", asyncrestore.CopyReport, {"ok"}),
        ("demo", DemoReport, {"ok", "seconds"}),
        ("info STORE", asyncrestore.StoreInfo, set()),
        ("info DATABASE", asyncrestore.DatabaseInfo, set()),
        ("info SYSTEM", asyncrestore.SystemInfo, set()),
        ("delete", asyncrestore.DeleteReport, set()),
        ("validate-store", asyncrestore.ValidateReport, {"ok"}),
    ],
)
def test_fields_are_those_of_the_report(row: str, report: type, more: set[str]) -> None:
    assert top(row) == names(report) | more


def test_fields_further_in() -> None:
    assert named(ROWS["info STORE"].partition(":")[2]) == names(asyncrestore.BackupInfo)
    assert named(ROWS["validate-store"].partition("(")[2].partition(")")[0]) == names(asyncrestore.Promise)
    assert named(ROWS["repair"].partition("(")[2].partition(")")[0]) == names(asyncrestore.PutAside)
    filtered = re.findall(r"^`filtered` is a list of (.*?)\.", PAGE, re.MULTILINE)
    assert [named(text) for text in filtered] == [names(asyncrestore.FilteredAttribute)]
    [excised] = re.findall(r"`excised` is (.*?):", PAGE)
    assert named(excised) == names(asyncrestore.Excised)
    assert all(set(EXAMPLES[name]["excised"]) == named(excised) for name in ("backup", "verify"))


def test_examples_have_the_documented_fields() -> None:
    assert set(EXAMPLES) == {"status", "backup", "verify", "info", "note", "log", "exit_error"}
    for name, row in (("backup", "backup"), ("verify", "verify"), ("info", "info STORE")):
        assert set(EXAMPLES[name]) - {"message_type"} == top(row), name
    status = PAGE.split("\n## status\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", status, re.MULTILINE)
    assert set(EXAMPLES["status"]) - {"message_type"} == {name for row in rows for name in named(row)}
    kinds = {name: example.get("message_type") for name, example in EXAMPLES.items()}
    assert kinds == {
        "status": "status", "backup": "summary", "verify": "summary", "info": None,
        "note": "note", "log": "log", "exit_error": "exit_error",
    }  # fmt: skip


def written(place: Path, *arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a command writes to stdout and to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "asyncrestore", *arguments, "--json"],
        cwd=place, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    out, err = ([json.loads(line) for line in stream.splitlines()] for stream in (done.stdout, done.stderr))
    return out, err


@pytest.fixture
async def place(new_database: NewDatabase, tmp_path: Path) -> Path:
    """A directory with a backup."""
    await asyncrestore.backup(await new_database(SCHEMA, *PEOPLE), str(tmp_path / "backups"), name="people")
    return tmp_path


async def test_commands_on_databases_write_these_fields(place: Path) -> None:
    uri = "datomic:local://staging/people?storage-dir=./datomic"
    for row, arguments in (
        ("restore", ("restore", "./backups", uri)),
        ("backup", ("backup", uri, "./second")),
        ("info DATABASE", ("info", uri)),
        ("setup", ("setup",)),
    ):
        out, _ = written(place, *arguments)
        assert set(out[-1]) - {"message_type"} == top(row), row
        statuses = [document for document in out if document.get("message_type") == "status"]
        assert all(set(status) == set(EXAMPLES["status"]) for status in statuses)
        assert bool(statuses) == (row in {"backup", "restore"})
    engine = out[-1]["engines"]["local"]
    assert set(engine) == named(ROWS["setup"].partition(":")[2])


async def test_commands_on_stores_write_these_fields(place: Path) -> None:
    for row, arguments in (
        ("info STORE", ("info", "./backups")),
        ("verify", ("verify", "./backups")),
        ("compact", ("compact", "./backups")),
        ("copy", ("copy", "./backups", "./spare")),
        ("query", ("query", "./backups", "FROM transactions")),
        ("delete", ("delete", "./spare", "people", "--yes")),
    ):
        out, _ = written(place, *arguments)
        assert set(out[-1]) - {"message_type"} == top(row), row
    out, err = written(place, "verify", "./backups", "--name", "nobody", code=10)
    assert out == []
    assert [set(document) for document in err] == [set(EXAMPLES["exit_error"])]
    assert err[0]["code"] == 10
    _, err = written(place, "verify", "./backups", "--name", "nobody", "--debug", code=10)
    assert set(err[-1]) == {*EXAMPLES["exit_error"], "traceback"}
    assert all(set(document) == set(EXAMPLES["log"]) for document in err[:-1])
