"""What takes much more memory or time than its bytes is refused before anything of it is decoded or read."""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from anyio import to_thread

from asyncrestore.errors import DamageError, SegmentDamaged, UsageError
from asyncrestore.history.catalog import aside_key, list_backup
from asyncrestore.jobs.query import query
from asyncrestore.jobs.verify import verify
from asyncrestore.limits import MAX_SEGMENT_BYTES, max_segment_bytes, segment_limit
from asyncrestore.segments import segment
from asyncrestore.segments.seal import sealed
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.filesystem import FilesystemStore
from tests.support import forged
from tests.support.damage import NAME, store_of
from tests.support.forged import ATTRIBUTES, RANGE, Parts, put_together

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

LIMIT = 1 << 20
PARTS = forged.taken_apart(forged.sound())


@pytest.fixture
async def limit() -> AsyncIterator[None]:
    """A low limit, so that small bombs are bombs. In the context in which tests run, whatever ran before."""
    with max_segment_bytes(LIMIT):
        yield


@pytest.fixture
def nothing_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> pa.Table:
        pytest.fail("it was decoded")

    monkeypatch.setattr(segment, "read_group", decode)


def with_table(rows: int, text: str) -> bytes:
    """A segment of that many equal datoms with a text."""
    parts = PARTS
    row = parts.tables[0].column("a").to_pylist().index(ATTRIBUTES["s"])
    table = parts.tables[0].slice(row, 1).take(pa.array([0] * rows))
    position = table.schema.get_field_index("value_text")
    field = table.schema.field(position)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    schema = table.schema.set(position, field.with_type(texts.type))
    table = pa.table([*table.columns[:position], texts], schema=schema)
    document = {**parts.document, "datoms": rows, "transactions": 1, "first_t": 6, "last_t": 6}
    document["largest"] = [-1, -1, 106]
    return put_together(replace(parts, tables=(table,), document=document))


def many_rows() -> bytes:
    return with_table(100_000, "x")


def long_text() -> bytes:
    return with_table(1, "x" * 2 * LIMIT)


def large_schema() -> bytes:
    return forged.with_document(PARTS, schema=forged.packed_text("[" + "1," * LIMIT + "1]"))


def large_metadata() -> bytes:
    return forged.with_document(PARTS, name="n" * 100_000)


def many_row_groups() -> bytes:
    return put_together(replace(PARTS, tables=(PARTS.tables[1].slice(0, 1),) * 600))


def claims_more(parts: Parts) -> bytes:
    """A page whose header claims 2 GB."""
    data = bytearray(put_together(parts))
    size = bytes.fromhex("15")  # the field after the first, an integer
    first = data.index(b"\x15\x00\x15", 4)
    end = first + 3
    while data[end] & 128:
        end += 1
    data[first : end + 1] = b"\x15\x00" + size + b"\xfe\xff\xff\xff\x0f"
    return bytes(data)


BOMBS: list[Callable[[], bytes]] = [many_rows, long_text, large_schema, large_metadata, many_row_groups]


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.usefixtures("limit", "nothing_decoded")
async def test_it_is_refused_before_it_is_decoded(bomb: Callable[[], bytes]) -> None:
    data = bomb()
    assert len(data) < LIMIT
    report = await verify(await store_of({RANGE.key: data}))
    assert report.problem_count == 1
    assert f"{RANGE.key} is damaged" in report.problems[0]


@pytest.mark.usefixtures("limit")
async def test_one_text_many_times_is_never_expanded() -> None:
    data = with_table(5000, "x" * 10_000)
    assert len(data) < 10_000
    before = pa.total_allocated_bytes()
    store = await store_of({RANGE.key: data})
    with pytest.raises(DamageError, match="its texts take 50,040,000 bytes"):
        Segment(data).check_rows()
    with pytest.raises(DamageError, match="its texts take"):
        await query(store, "FROM datoms")
    assert pa.total_allocated_bytes() - before < LIMIT
    with max_segment_bytes(MAX_SEGMENT_BYTES):
        assert len(Segment(data).table()) == 5000


@pytest.mark.usefixtures("nothing_decoded")
def test_a_page_that_claims_to_be_large_is_not_decoded() -> None:
    with pytest.raises(SegmentDamaged):
        Segment(sealed(claims_more(PARTS)))


async def test_a_query_has_the_limit_of_its_caller() -> None:
    store = await store_of({RANGE.key: forged.sound()})
    with max_segment_bytes(1000), pytest.raises(DamageError, match="may take 1,000 bytes"):
        await query(store, "FROM datoms")
    assert len(await query(store, "FROM datoms")) > 0


async def test_threads_have_the_limit() -> None:
    with max_segment_bytes(LIMIT):
        assert await to_thread.run_sync(segment_limit) == LIMIT
    assert segment_limit() == MAX_SEGMENT_BYTES


async def test_a_backup_does_not_write_what_it_would_refuse() -> None:
    with max_segment_bytes(1000), pytest.raises(DamageError, match="was not published") as caught:
        forged.sound()
    assert "`max_segment_bytes`" in caught.value.hint


async def test_a_sparse_file(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    path = tmp_path / NAME / RANGE.key
    path.touch()
    os.truncate(path, 200 << 30)
    store = FilesystemStore(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SegmentDamaged, match="has 214,748,364,800 bytes"):
        await store.read(NAME, RANGE.key)
    [problem] = (await verify(store)).problems
    assert RANGE.key in problem
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


async def test_a_large_reason(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / RANGE.key).write_bytes(forged.sound())
    other = "0000000000040-0000000000050.parquet"
    (tmp_path / NAME / other).write_bytes(b"damaged")
    (tmp_path / NAME / aside_key(other)).touch()
    os.truncate(tmp_path / NAME / aside_key(other), 200 << 30)
    store = FilesystemStore(tmp_path)
    notes = (await verify(store)).notes
    assert any("the reason cannot be read" in note for note in notes)
    backup = await list_backup(store, NAME)
    with pytest.raises(SegmentDamaged):
        await backup.why_aside(other)


@pytest.mark.parametrize("text", ["x", "1", "-1G", "1T", "1000K", "\u0661G", "1.5G", ""])
def test_sizes_that_are_none(text: str, capsys: Any) -> None:
    from asyncrestore.cli.app import program

    assert program(["info", "nowhere", "--max-segment-size", text]) == UsageError.exit_code
    assert "--max-segment-size" in capsys.readouterr().err
