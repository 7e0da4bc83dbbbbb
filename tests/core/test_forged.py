"""Forged segments with a right digest are damage to every reader, and are named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from asyncrestore.errors import DamageError, NewerFormat, SegmentDamaged
from asyncrestore.history.catalog import find_backup
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs.query import query
from asyncrestore.jobs.verify import verify
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.segment import Segment
from tests.support import forged
from tests.support.damage import store_of
from tests.support.forged import ATTRIBUTES, RANGE, Parts, put_together, row_of, with_column, with_document

if TYPE_CHECKING:
    from collections.abc import Callable

    Forge = Callable[[Parts], bytes]

pytestmark = pytest.mark.anyio

PARTS = forged.taken_apart(forged.sound())


def text(kind: str, value: str) -> Forge:
    """Another text in the first row of a kind."""
    return lambda parts: with_column(parts, "value_text", {row_of(parts, kind): value})


def value(column: str, kind: str, other: Any) -> Forge:
    """Another value in a column of the first row of a kind."""
    return lambda parts: with_column(parts, column, {row_of(parts, kind): other})


def document(**fields: Any) -> Forge:
    return lambda parts: with_document(parts, **fields)


def snapshot(**changed: Any) -> Forge:
    return lambda parts: forged.with_snapshot(parts, **changed)


def raw(document: str) -> Forge:
    return lambda parts: forged.in_file(parts.tables, document)


def replaced(old: str, new: str) -> Forge:
    return lambda parts: forged.in_file(
        parts.tables,
        json.dumps({**parts.document, "schema": forged.packed(parts.snapshot)}).replace(old, new, 1),
    )


def tables(change: Callable[[pa.Table], pa.Table]) -> Forge:
    return lambda parts: put_together(replace(parts, tables=tuple(map(change, parts.tables))))


def cast(name: str, type_: pa.DataType, *, nullable: bool | None = None) -> Forge:
    """A column of another type, or nullable, or not."""

    def change(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(name)
        field = table.schema.field(position)
        field = pa.field(name, type_, nullable=field.nullable if nullable is None else nullable)
        return table.set_column(position, field, table.column(name).cast(type_))

    return tables(change)


def swapped_groups(parts: Parts) -> bytes:
    return put_together(replace(parts, tables=parts.tables[::-1]))


def group_twice(parts: Parts) -> bytes:
    return put_together(replace(parts, tables=(*parts.tables, parts.tables[1])))


def empty_group(parts: Parts) -> bytes:
    return put_together(replace(parts, tables=(*parts.tables, parts.tables[0].slice(0, 0))))


def split_transaction(parts: Parts) -> bytes:
    last = parts.tables[1]
    return put_together(replace(parts, tables=(parts.tables[0], last.slice(0, 2), last.slice(2))))


def reversed_rows(parts: Parts) -> bytes:
    table = parts.tables[0]
    order = pa.array(range(len(table) - 1, -1, -1))
    return put_together(replace(parts, tables=(table.take(order), parts.tables[1])))


def empty(**fields: Any) -> Forge:
    return document(**{"transactions": 0, "datoms": 0, "first_t": None, "last_t": None, **fields})


def not_utf8(parts: Parts) -> bytes:
    """Text columns whose bytes are not UTF-8, which Arrow neither writes nor checks."""
    texts = parts.tables[0].column("value_text").cast(pa.binary()).to_pylist()
    texts[row_of(parts, "s") + 1] = b"a \xff\xfe"
    wrong = pa.array(texts, pa.binary())
    return with_column(parts, "value_text", pa.Array.from_buffers(pa.string(), len(wrong), wrong.buffers()))


BASE = PARTS.snapshot["base"]
ATTRS = PARTS.snapshot["attributes"]
STRING_ATTRIBUTE = str(ATTRIBUTES["s"])

FORGED: dict[str, Forge] = {
    "metadata is nested deep": raw("[" * 100_000 + "]" * 100_000),
    "metadata is nested deep in a field": replaced('"a-source"', '{"a":' * 90_000 + "1" + "}" * 90_000),
    "metadata is not JSON": raw("{"),
    "metadata is a list": raw("[]"),
    "metadata is a number": raw("1"),
    "metadata has a name twice": replaced('"format": 2', '"format": 2, "format": 2'),
    "metadata has a number that is none": replaced('"datoms":', '"datoms": NaN, "datomz":'),
    "metadata has a long number": replaced('"start": 0', '"start": ' + "9" * 5000),
    "a field is missing": document(largest=...),
    "a field too many": document(more=1),
    "format is a text": document(format="2"),
    "format is a boolean": document(format=True),
    "format is a float": document(format=2.0),
    "format is 0": document(format=0),
    "format 1 has a packed schema": document(format=1, schema_sha256=..., last_excision_t=...),
    "source is not a text": document(source=["a-source"]),
    "source is empty": document(source=""),
    "source is half a character": document(source="\ud800"),
    "name is null": document(name=None),
    "name is long": document(name="n" * 100_000),
    "start is negative": document(start=-1),
    "start is a boolean": document(start=False),
    "end is a float": document(end=40.0),
    "range is empty": document(start=40),
    "first t is another": document(first_t=7),
    "last t is another": document(last_t=22),
    "first t is missing": document(first_t=None),
    "last t is out of range": document(last_t=40),
    "it says that it is empty": empty(largest=[-1, -1, -1]),
    "it says fewer transactions": document(transactions=7),
    "it says one datom more": document(datoms=PARTS.document["datoms"] + 1),
    "it has more transactions than datoms": document(transactions=9, datoms=8),
    "bootstrap t is a text": document(bootstrap_t="5"),
    "largest has two": document(largest=[140, 21]),
    "largest is another": document(largest=[141, 21, 400]),
    "largest has a boolean": document(largest=[140, True, 400]),
    "digest of the schema is short": document(schema_sha256="0" * 63),
    "digest of the schema is another": document(schema_sha256="0" * 64),
    "digest of the schema is missing": document(schema_sha256=None),
    "last excision is later": document(last_excision_t=7),
    "schema is a list": document(schema=[]),
    "schema is not base64": document(schema="!!"),
    "schema is not compressed": document(schema="AAAA"),
    "schema is cut off": document(schema=forged.packed(PARTS.snapshot)[:-8]),
    "schema is nested deep": lambda parts: with_document(parts, schema=deep_schema()),
    "schema has no base": snapshot(base=...),
    "schema has no attributes": snapshot(attributes=..., names=...),
    "schema has a part too many": snapshot(more={}),
    "base is a list": snapshot(base=[]),
    "base has a name that is none": snapshot(base={**BASE, "99": 5}),
    "base has an id in Arabic digits": snapshot(base={**BASE, "\u0669\u0669": "a/b"}),
    "base has an id with a zero before it": snapshot(base={**BASE, "099": "a/b"}),
    "base lacks db/txInstant": snapshot(base={k: v for k, v in BASE.items() if v != "db/txInstant"}),
    "an attribute has four fields": snapshot(
        attributes={**ATTRS, STRING_ATTRIBUTE: ["v/string", None, True, None]}
    ),
    "an attribute has a list for its name": snapshot(
        attributes={**ATTRS, STRING_ATTRIBUTE: [[], None, True, None, None]}
    ),
    "cardinality is a number": snapshot(
        attributes={**ATTRS, STRING_ATTRIBUTE: ["v/string", None, 1, None, None]}
    ),
    "components are texts": snapshot(
        attributes={**ATTRS, STRING_ATTRIBUTE: ["v/string", "db.type/tuple", True, None, ["a"]]}
    ),
    "a name leads nowhere": snapshot(names={"a/b": 99_999}),
    "predicates are a text": snapshot(predicates={STRING_ATTRIBUTE: "a/b"}),
    "an attribute is not known": snapshot(
        attributes={entity: fields for entity, fields in ATTRS.items() if entity != STRING_ATTRIBUTE}
    ),
    "an attribute has another name": snapshot(
        attributes={**ATTRS, STRING_ATTRIBUTE: ["v/other", "db.type/string", True, None, None]}
    ),
    "a column is repeated": tables(lambda table: table.append_column("t", table.column("t"))),
    "a column is missing": tables(lambda table: table.drop_columns(["value_float"])),
    "a column too many": tables(lambda table: table.append_column("more", table.column("t"))),
    "columns in another order": tables(lambda table: table.select(table.column_names[::-1])),
    "tx is text": cast("tx", pa.string()),
    "tx is of 32 bits": tables(
        lambda table: table.set_column(
            1, pa.field("tx", pa.int32(), nullable=False), pa.array([5] * len(table), pa.int32())
        )
    ),
    "e may be null": cast("e", pa.int64(), nullable=True),
    "texts are binary": cast("value_text", pa.binary()),
    "instants have no zone": cast("value_instant", pa.timestamp("ms")),
    "a row group is empty": empty_group,
    "row groups are swapped": swapped_groups,
    "a row group is there twice": group_twice,
    "a transaction is in two row groups": split_transaction,
    "rows are reversed": reversed_rows,
    "t is another than that of tx": value("t", "s", 7),
    "tx is not one": value("tx", "s", 6),
    "e is negative": value("e", "s", -1),
    "e is too large for an entity": value("e", "s", 1 << 62),
    "a is negative": value("a", "s", -5),
    "a reference is negative": value("value_ref", "r", -1),
    "the name of an attribute is another": value("attribute", "s", "v/long"),
    "type is not known": value("type", "s", "text"),
    "type is another": value("type", "s", "long"),
    "type is another of texts, which is not that": value("type", "s", "uuid"),
    "there is no value": value("value_long", "l", None),
    "there are two values": value("value_long", "s", 5),
    "there is a text too many": value("value_text", "l", "5"),
    "a text is not UTF-8": not_utf8,
    "uuid is none": text("u", "7d0162a9"),
    "uuid is in capitals": text("u", "7D0162A9-2636-46F2-B0E8-A9336075EEE2"),
    "uri has a blank": text("o", "http://a b"),
    "uri has no scheme": text("o", "://a"),
    "bigint is a word": text("n", "many"),
    "bigint is in Arabic digits": text("n", "\u0661\u0662"),
    "bigdec is not a number": text("m", "NaN"),
    "bigdec has a large exponent": text("m", "1E+99999999999999999999"),
    "bigdec has an exponent above 32 bits": text("m", "1E+2147483649"),
    "bytes are not base64": text("x", "AP9"),
    "tuple is nested deep": text("t", "[" * 100_000 + "]" * 100_000),
    "tuple is not JSON": text("t", "["),
    "tuple is an object": text("t", "{}"),
    "tuple is empty": text("t", "[]"),
    "tuple has a slot that is a number": text("t", "[1]"),
    "tuple has a slot of an unknown kind": text("t", '[["z", 1]]'),
    "tuple has a tuple in it": text("t", '[["t", [["l", 1]]]]'),
    "tuple has a number for a text": text("t", '[["s", 1]]'),
    "tuple has a float for a long": text("t", '[["l", 1.5]]'),
    "tuple has a boolean for a long": text("t", '[["l", true]]'),
    "tuple has a long above 64 bits": text("t", '[["l", 9223372036854775808]]'),
    "tuple has half a character": text("t", '[["s", "\\ud800"]]'),
    "tuple has a uuid that is none": text("t", '[["u", "x"]]'),
    "tuple has a reference that is negative": text("t", '[["r", -1]]'),
    "ident is a text": lambda parts: with_column(parts, "type", {0: "string"}, group=1),
    "composite lacks a component": lambda parts: composite(parts, '[["s", "x6"]]'),
    "not compressed": lambda parts: put_together(parts, compression="none"),
    "compressed otherwise": lambda parts: put_together(parts, compression="gzip"),
    "encoded by differences": lambda parts: put_together(
        parts, use_dictionary=False, column_encoding={"value_text": "DELTA_BYTE_ARRAY"}
    ),
    "pages of the second version": lambda parts: put_together(parts, data_page_version="2.0"),
    "Arrow's own schema beside": lambda parts: put_together(parts, store_schema=True),
}


def deep_schema() -> str:
    return forged.packed_text("[" * 100_000 + "]" * 100_000)


def composite(parts: Parts, slots: str) -> bytes:
    row = parts.tables[0].column("a").to_pylist().index(forged.COMPOSITE)
    return with_column(parts, "value_text", {row: slots})


async def test_what_nobody_forged_is_whole() -> None:
    store = await store_of({RANGE.key: put_together(PARTS)})
    assert (await verify(store)).ok
    assert [chunk async for chunk in await load(store)] == forged.log()
    assert len(await query(store, "FROM datoms")) == sum(map(len, forged.log()))


async def load(store: Any) -> Any:
    history = await StoredHistory.open(store, None)
    return await history.load(history.parts(0)[0])


@pytest.mark.parametrize("name", FORGED)
async def test_every_reader_refuses(name: str) -> None:
    store = await store_of({RANGE.key: FORGED[name](PARTS)})
    report = await verify(store)
    assert report.problem_count == 1
    assert f"{RANGE.key} is damaged" in report.problems[0]
    with pytest.raises(SegmentDamaged, match="is damaged"):
        await load(store)
    with pytest.raises(DamageError):
        await query(store, "SELECT count(*) FROM datoms")
    backup = await find_backup(store, None)
    assert await backup.was_ours(backup.segments[0], "a-source"), "nobody can tell: repair reads it again"


def test_a_newer_format_is_told_from_damage() -> None:
    with pytest.raises(NewerFormat):
        Segment(with_document(PARTS, format=3, more={}))


@pytest.mark.parametrize(
    "name", ["a column too many", "a column is missing", "compressed otherwise", "Arrow's own schema beside"]
)
def test_a_newer_format_whose_file_is_another_is_told_from_damage(name: str) -> None:
    """Taken for damage, it would be put aside by a repair."""
    newer = replace(PARTS, document={**PARTS.document, "format": 3})
    with pytest.raises(SegmentDamaged):
        Segment(FORGED[name](PARTS))
    with pytest.raises(NewerFormat, match="version 3"):
        Segment(FORGED[name](newer))


@pytest.mark.parametrize(
    "key", ["\u0660" * 13 + "-0000000000040.parquet", "0000000000000-00000000000\uff14\uff10.parquet"]
)
def test_names_have_ascii_digits(key: str) -> None:
    assert SegmentRange.from_key(key) is None
