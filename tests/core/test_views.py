"""SQL over hand-made segments: each transaction once, every kind of value, and nothing wrong returned."""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import TYPE_CHECKING, Any

import anyio
import duckdb
import pytest
from anyio import to_thread

from asyncrestore.errors import AsyncRestoreError, Conflict, SegmentDamaged, SegmentGap, UsageError
from asyncrestore.jobs.query import _answer, _explained, query
from asyncrestore.model.log import t_to_tx
from asyncrestore.model.schema import ORIGINAL_ID, Attribute, Schema
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.stores.memory import MemoryStore
from tests.support.altered import chunk_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncrestore.model.log import Datom

pytestmark = pytest.mark.anyio

TX_INSTANT, NAME, WHO, ORIGINAL, ANY = 50, 73, 74, 75, 76
BOOTSTRAP_T = 5


def bits(value: float) -> int:
    number: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return number


EVERYTHING = (
    ("b", 1, "true"),
    ("l", -(2**63), "-9223372036854775808"),
    ("r", 4711, "4711"),
    ("d", bits(float("nan")), "nan"),
    ("d", bits(-0.0), "-0.0"),
    ("f", struct.unpack("<i", struct.pack("<f", 0.1))[0], "0.1"),
    ("i", 1, "1970-01-01T00:00:00.001Z"),
    ("i", -62_009_366_400_000, "0005-01-01T00:00:00.000Z"),
    ("i", -(2**63), str(-(2**63))),
    ("i", 9_300_000_000_000_000, "9300000000000000"),
    ("s", "é\n'", "é\n'"),
    ("k", "a/b", "a/b"),
    ("y", "c", "c"),
    ("u", "7d0162a9-2636-46f2-b0e8-a9336075eee2", "7d0162a9-2636-46f2-b0e8-a9336075eee2"),
    ("o", "http://x/?a=1", "http://x/?a=1"),
    ("n", "-123456789012345678901234567890", "-123456789012345678901234567890"),
    ("m", "1.10", "1.10"),
    ("x", "AP8=", "AP8="),
    (
        "t",
        (
            ("s", "é"),
            None,
            ("r", 7),
            ("b", 0),
            ("d", struct.unpack("<q", struct.pack("<d", 0.5))[0]),
            ("i", 1),
        ),
        '["é", null, 7, false, 0.5, "1970-01-01T00:00:00.001Z"]',
    ),
    (
        "t",
        (("d", bits(float("inf"))), ("i", 2**62)),
        f'["inf", {2**62}]',
    ),
)


def schema() -> Schema:
    return Schema(
        {10: "db/ident", TX_INSTANT: "db/txInstant", 23: "db.type/string"},
        {
            TX_INSTANT: Attribute("db/txInstant", "db.type/instant"),
            NAME: Attribute("artist/name", "db.type/string", unique="db.unique/identity"),
            WHO: Attribute("audit/who", "db.type/string", many=True),
            ORIGINAL: Attribute(ORIGINAL_ID, "db.type/long"),
            ANY: Attribute(None, "db.type/keyword"),
            77: Attribute("an/enum"),
        },
    )


def transaction(t: int, *datoms: Datom) -> list[tuple[int, Datom]]:
    tx = t_to_tx(t)
    return [(tx, each) for each in ((tx, TX_INSTANT, "i", t * 1000, True), *datoms)]


async def put(
    store: MemoryStore, start: int, end: int, rows: Sequence[tuple[int, Datom]], *, source: str = "a-source"
) -> None:
    range_ = SegmentRange(start, end)
    data = encode(
        [chunk_of(rows)] if rows else [],
        range_,
        source=source,
        name="db",
        bootstrap_t=BOOTSTRAP_T,
        schema=schema(),
    )
    assert await store.publish("db", range_.key, data)


async def ask(store: MemoryStore, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in (await query(store, sql)).to_pylist()]


def named(t: int) -> list[tuple[int, Datom]]:
    return transaction(t, (100 + t, NAME, "s", f"name {t}", True))


async def test_each_kind_of_value() -> None:
    store = MemoryStore()
    datoms = [(n, ANY, kind, raw, True) for n, (kind, raw, _) in enumerate(EVERYTHING)]
    await put(store, 0, 10, transaction(6, *datoms))

    texts = await ask(store, f"SELECT value FROM datoms WHERE a = {ANY} ORDER BY e")
    assert [text for (text,) in texts] == [text for _, _, text in EVERYTHING]
    # Typed columns can be reckoned with, and NaN is found.
    assert await ask(store, "SELECT e FROM datoms WHERE value_double = 'nan'::DOUBLE") == [(3,)]
    assert await ask(store, "SELECT sum(value_ref) FROM datoms WHERE type = 'ref'") == [(4711,)]
    assert await ask(store, "SELECT from_base64(value_text) FROM datoms WHERE type = 'bytes'") == [
        (b"\0\xff",)
    ]
    near = "SELECT count(value_instant) FROM datoms WHERE type = 'instant' AND e <> tx"
    assert await ask(store, near) == [(2,)]


async def test_segments_that_overlap_give_each_transaction_once() -> None:
    store = MemoryStore()
    await put(store, 0, 8, [*named(6), *named(7)])
    await put(store, 6, 8, [*named(6), *named(7)])
    await put(store, 7, 10, [*named(7), *named(8)])
    await put(store, 9, 12, [*named(11)])

    assert await ask(store, "SELECT t, datoms FROM transactions ORDER BY t") == [
        (6, 2),
        (7, 2),
        (8, 2),
        (11, 2),
    ]
    assert await ask(store, "SELECT count(*), count(DISTINCT (e, a)) FROM datoms") == [(8, 8)]
    # A view is read anew wherever it is named.
    joined = "SELECT count(*) FROM datoms x JOIN datoms y USING (t)"
    assert await ask(store, joined) == [(16,)]


async def test_bootstrap_and_bookkeeping_are_not_shown() -> None:
    store = MemoryStore()
    installed = [(t_to_tx(6), (ORIGINAL, 10, "k", ORIGINAL_ID, True))]
    kept = (100, ORIGINAL, "l", 17, True)
    await put(store, 0, 10, [*transaction(5, (10, 10, "k", "db/ident", True)), *named(6), *installed])
    await put(store, 10, 20, transaction(10, kept))

    assert await ask(store, "SELECT DISTINCT t, attribute FROM datoms ORDER BY ALL") == [
        (6, "artist/name"),
        (6, "db/txInstant"),
        (10, "db/txInstant"),
    ]
    assert await ask(store, "FROM attributes") == [
        (50, "db/txInstant", "instant", "one", None),
        (73, "artist/name", "string", "one", "identity"),
        (74, "audit/who", "string", "many", None),
        (76, None, "keyword", "one", None),
    ]


async def test_a_transaction_has_what_was_said_of_it() -> None:
    store = MemoryStore()
    tx = t_to_tx(6)
    said = [(tx, WHO, "s", "ann", True), (tx, WHO, "s", "bob", True), (tx, NAME, "s", "import", True)]
    await put(store, 0, 10, [*transaction(6, *said), *named(7)])

    rows = await ask(store, "SELECT epoch_ms(instant), datoms, metadata FROM transactions ORDER BY t")
    assert rows == [(6000, 4, [("artist/name", ["import"]), ("audit/who", ["ann", "bob"])]), (7000, 2, [])]
    assert await ask(store, "SELECT t FROM transactions WHERE metadata['artist/name'][1] = 'import'") == [
        (6,)
    ]


async def test_as_of() -> None:
    store = MemoryStore()
    await put(store, 0, 7, named(6))
    changed = transaction(8, (106, NAME, "s", "name 6", False), (106, NAME, "s", "other", True))
    await put(store, 7, 20, [*changed, *transaction(9, (106, NAME, "s", "name 6", True))])

    def names(t: int) -> str:
        return f"SELECT value FROM as_of({t}) WHERE attribute = 'artist/name' ORDER BY value"

    assert [await ask(store, names(t)) for t in (5, 7, 8, 9)] == [
        [],
        [("name 6",)],
        [("other",)],
        [("name 6",), ("other",)],
    ]


async def test_no_more_rows_than_wanted() -> None:
    store = MemoryStore()
    await put(store, 0, 100, [row for t in range(6, 90) for row in named(t)])
    sql = "SELECT t FROM transactions ORDER BY t DESC"
    assert (await query(store, sql, max_rows=2)).to_pylist() == [{"t": 89}, {"t": 88}]
    assert (await query(store, sql, max_rows=1000)).num_rows == 84
    assert (await query(store, "SELECT * FROM datoms WHERE false", max_rows=2)).num_rows == 0
    assert (await query(store, sql, max_rows=0)).num_rows == 0
    with pytest.raises(UsageError, match="max_rows must be an integer, at least 0"):
        await query(store, sql, max_rows=-1)


async def test_what_is_missing_damaged_or_foreign_is_not_passed_over() -> None:
    store = MemoryStore()
    await put(store, 0, 7, named(6))
    await put(store, 8, 10, named(8))
    with pytest.raises(SegmentGap, match="t 7 to 7"):
        await query(store, "FROM transactions")
    await put(store, 7, 8, named(7), source="another")
    with pytest.raises(Conflict, match="another database"):
        await query(store, "FROM transactions")
    key = SegmentRange(7, 8).key
    store._objects["db", key] = store._objects["db", key][:-9] + b"!" + store._objects["db", key][-8:]
    for sql in ("SELECT count(*) FROM datoms", "SELECT e, value FROM datoms"):
        for max_rows in (None, 50):
            with pytest.raises(SegmentDamaged, match=key):
                await query(store, sql, max_rows=max_rows)


async def test_an_error_among_the_first_rows() -> None:
    store = MemoryStore()
    await put(store, 0, 7, named(6))
    with pytest.raises(UsageError, match="Could not convert string 'x' to INT"):
        await query(
            store, "SELECT (CASE WHEN i > 5000 THEN 'x' END)::int FROM range(9000) t(i)", max_rows=8000
        )


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELCT 1", "syntax error"),
        ("SELECT * FROM nope", "nope does not exist"),
        ("", "not a query"),
        ("COPY datoms TO '{}/out.csv'", "Cannot access"),
        ("EXPLAIN ANALYZE COPY datoms TO '{}/out.parquet'", "Cannot access"),
        ("ATTACH '{}/out.db'", "Cannot access"),
        ("EXPORT DATABASE '{}/out'", "Cannot access"),
        ("FROM read_text('{}/there')", "Cannot access"),
        ("FROM read_csv('http://localhost:1/x.csv')", "."),
        ("INSTALL httpfs", "Cannot access"),
        ("SET enable_external_access = true", "Cannot"),
    ],
)
async def test_what_is_refused(tmp_path: Path, sql: str, says: str) -> None:
    (tmp_path / "there").write_text("secret")
    store = MemoryStore()
    await put(store, 0, 10, named(6))
    with pytest.raises(UsageError, match=says):
        await query(store, sql.format(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_memory_that_is_not_enough_is_no_usage_error() -> None:
    for kind in (duckdb.OutOfMemoryException, duckdb.IOException):
        error = _explained(kind("no more"), None)
        assert (type(error), str(error)) == (AsyncRestoreError, "DuckDB cannot answer: no more")


async def test_a_query_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = MemoryStore()
    await put(store, 0, 10, named(6))
    with anyio.move_on_after(0.5) as scope:
        await query(store, "SELECT sum(sin(x.range * y.range)) FROM range(10000000) x, range(10000000) y")
    assert scope.cancelled_caught
    assert list(tmp_path.iterdir()) == []


async def test_a_query_can_be_cancelled_by_asyncio_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.timeout` does, which does not wait for threads. Also before DuckDB has begun."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    begins, loop = asyncio.Event(), asyncio.get_running_loop()

    def answer(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(begins.set)
        return _answer(*arguments)

    monkeypatch.setattr("asyncrestore.jobs.query._answer", answer)
    store = MemoryStore()
    await put(store, 0, 10, named(6))
    sql = "SELECT sum(sin(x.range * y.range)) FROM range(10000000) x, range(10000000) y"

    for _ in range(5):
        begins.clear()
        asking = asyncio.create_task(query(store, sql))
        await begins.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert list(tmp_path.iterdir()) == []


async def test_queries_leave_the_shared_threads_to_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_thread.current_default_thread_limiter(), "total_tokens", 1)
    store = MemoryStore()
    await put(store, 0, 10, named(6))
    assert await ask(store, "SELECT count(*) FROM datoms") == [(2,)]


async def test_without_duckdb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UsageError, match="need the package duckdb") as caught:
        await query(MemoryStore(), "SELECT 1")
    assert "asyncrestore[query]" in caught.value.hint
