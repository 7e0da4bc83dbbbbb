"""`query` on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from asyncrestore.cli.query_rows import grid, json_rows
from asyncrestore.errors import UsageError
from tests.cli.conftest import TRANSACTIONS
from tests.support.cli import Ran, run_cli

if TYPE_CHECKING:
    from tests.cli.conftest import Place


def test_rows_as_text_and_json(place: Place) -> None:
    sql = "SELECT e, attribute, value FROM datoms WHERE attribute = 'item/number' ORDER BY t, value_long"
    ran = run_cli(["query", place.store, sql, "--max-rows", "2"])
    assert (ran.returncode, ran.stderr) == (0, "There are more than these 2 rows: see --max-rows.\n")
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["e", "attribute", "value"]
    assert [line.split()[1:] for line in lines[2:4]] == [["item/number", "0"], ["item/number", "1"]]
    assert lines[4:] == ["(2 rows)"]

    ran = run_cli(["query", place.store, sql, "--json"])
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert found["columns"] == ["e", "attribute", "value"]
    assert [row[2] for row in found["rows"]] == [str(n) for n in range(TRANSACTIONS + 1)]


def test_which_backup(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT count(*) AS n FROM transactions"
    assert Ran(capsys, "query", place.several, sql).code == 2
    assert Ran(capsys, "query", place.several, sql, "--name", "a").out == "n\n--\n11\n(1 row)\n"
    assert Ran(capsys, "query", place.several, sql, "--name", "c").code == 10


def test_wrong_sql_ends_as_usage_error(place: Place) -> None:
    ran = run_cli(["query", place.store, "SELECT nope FROM datoms"])
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: DuckDB refuses the query: Binder Error: ")
    assert "nanobind" not in ran.stderr
    assert ran.stderr.endswith("docs/query.md has their columns.\n")


def test_every_type_can_be_shown() -> None:
    far = pa.array([2**53], pa.timestamp("us", tz="UTC"))
    near = pa.array([datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)], pa.timestamp("us", tz="UTC"))
    table = pa.table(
        {
            "far": far,
            "near": near,
            "bytes": [b"\0"],
            "nan": [float("nan")],
            "map": pa.array([[("k", ["v", None])]], pa.map_(pa.string(), pa.list_(pa.string()))),
            "empty map": pa.array([[]], pa.map_(pa.string(), pa.string())),
            "no map": pa.array([None], pa.map_(pa.string(), pa.string())),
            "struct": [{"x": 1, "y": True}],
            "sum": pa.array([3], pa.decimal128(38, 0)),
            "half": pa.array(["0.50"]).cast(pa.decimal128(5, 2)),
            "none": [None],
            "escape": ["\x1b[2J\n"],
            "long": ["x" * 100],
        }
    )
    rows = json_rows(table)
    assert rows == [
        [
            "2255-06-05T23:47:34.740992Z",
            "2026-01-02T03:04:05.678Z",
            "AA==",
            "nan",
            {"k": ["v", None]},
            {},
            None,
            {"x": 1, "y": True},
            3,
            "0.50",
            None,
            "\x1b[2J\n",
            "x" * 100,
        ]
    ]
    json.dumps(rows, allow_nan=False)
    shown = grid(table.column_names, rows).splitlines()[2]
    assert "k: v, " in shown
    assert "x: 1, y: true" in shown
    assert r"\x1b[2J\n" in shown
    assert shown.endswith("  " + "x" * 79 + "…")


def test_dates_that_python_does_not_have() -> None:
    days = pa.array([105_200_797, 2**31 - 1, -735_000, 20_000, None], pa.date32())
    assert [row[0] for row in json_rows(pa.table({"day": days}))] == [
        "<value out of range: 105200797>",
        "<value out of range: 2147483647>",
        "-0043-08-22",
        "2024-10-04",
        None,
    ]
    with pytest.raises(UsageError, match="Column 'days' has a value that cannot be shown"):
        json_rows(pa.table({"days": pa.array([[105_200_797]], pa.list_(pa.date32()))}))


def test_no_rows() -> None:
    assert grid(["a", "b"], []) == "a  b\n-  -\n(0 rows)"
