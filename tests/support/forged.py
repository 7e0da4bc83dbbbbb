"""Segments as somebody may forge them: what is in them is changed, and the digest made anew."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from asyncrestore.model.log import t_to_tx
from asyncrestore.model.schema import Attribute, Schema, snapshot_digest
from asyncrestore.model.values import KINDS
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.segments.seal import sealed
from tests.support.altered import chunk_of

if TYPE_CHECKING:
    from asyncrestore.model.log import LogChunk
    from tests.support.altered import Row

IDENT, VALUE_TYPE, CARDINALITY, UNIQUE, TUPLE_ATTRS, PREDICATES, TX_INSTANT = 10, 40, 41, 42, 43, 44, 50
STRING, TUPLE, LONG, ONE, MANY, IDENTITY = 23, 25, 22, 35, 36, 38
BASE = {
    IDENT: "db/ident",
    VALUE_TYPE: "db/valueType",
    CARDINALITY: "db/cardinality",
    UNIQUE: "db/unique",
    TUPLE_ATTRS: "db/tupleAttrs",
    PREDICATES: "db.attr/preds",
    TX_INSTANT: "db/txInstant",
    STRING: "db.type/string",
    TUPLE: "db.type/tuple",
    LONG: "db.type/long",
    ONE: "db.cardinality/one",
    MANY: "db.cardinality/many",
    IDENTITY: "db.unique/identity",
}
VALUES: dict[str, list[Any]] = {
    "b": [0, 1],
    "l": [-(1 << 63), 7],
    "r": [4 << 42 | 9, 4 << 42 | 8],
    "d": [4607182418800017408, -1],
    "f": [1065353216, 5],
    "i": [-(1 << 63), 1000],
    "s": ["", "a text", "ü\0"],
    "k": ["a/b", ":odd name"],
    "y": ["a.b/c"],
    "u": ["7d0162a9-2636-46f2-b0e8-a9336075eee2"],
    "o": ["http://a.b/c?d#e", ""],
    "n": ["-123456789012345678901234567890", "0"],
    "m": ["1.10", "0E-10", "-5E+2147483647"],
    "x": ["AP9+", "", "AQ=="],
    "t": [(None, ("s", "x"), ("r", 4 << 42 | 9)), (("l", 5), ("m", "1.0"), None)],
}
"""Some values of each kind."""

ATTRIBUTES = {kind: 100 + number for number, kind in enumerate(VALUES)}
COMPOSITE, COMPONENT, NAMED = 130, 131, 132
RANGE = SegmentRange(0, 40)
BOOTSTRAP_T = 5


def schema() -> Schema:
    """A schema with an attribute for each kind of value."""
    return Schema(
        dict(BASE),
        {
            TX_INSTANT: Attribute("db/txInstant", "db.type/instant"),
            **{
                ATTRIBUTES[kind]: Attribute(f"v/{KINDS[kind]}", f"db.type/{KINDS[kind]}", True)
                for kind in VALUES
            },
            COMPONENT: Attribute("c/x", "db.type/string"),
            NAMED: Attribute("c/y", "db.type/string", unique="db.unique/identity", predicates=("a/b",)),
            COMPOSITE: Attribute("c/xy", "db.type/tuple", components=(COMPONENT, NAMED)),
        },
    )


def log() -> list[LogChunk]:
    """Transactions with all kinds of values, and an attribute that is made and used, in two row groups."""
    rows: list[Row] = []
    for t in range(6, 12):
        tx, e = t_to_tx(t), 4 << 42 | (100 + t)
        rows.append((tx, (tx, TX_INSTANT, "i", 1000 * t, True)))
        for kind, values in VALUES.items():
            rows += [(tx, (e, ATTRIBUTES[kind], kind, value, t % 3 > 0)) for value in values]
        rows.append((tx, (e, COMPONENT, "s", f"x{t}", True)))
        rows.append((tx, (e, COMPOSITE, "t", (("s", f"x{t}"), None), True)))
    made, used = t_to_tx(20), t_to_tx(21)
    later: list[Row] = [
        (made, (140, IDENT, "k", "later/made", True)),
        (made, (140, VALUE_TYPE, "r", STRING, True)),
        (made, (140, CARDINALITY, "r", ONE, True)),
        (made, (made, TX_INSTANT, "i", 20000, True)),
        (used, (4 << 42 | 300, 140, "s", "a text", True)),
        (used, (4 << 42 | 106, COMPONENT, "s", "changed", True)),
        (used, (4 << 42 | 106, COMPONENT, "s", "x6", False)),
        (used, (used, TX_INSTANT, "i", 21000, True)),
    ]
    return [chunk_of(rows), chunk_of(later)]


def sound(range_: SegmentRange = RANGE, chunks: list[LogChunk] | None = None) -> bytes:
    """A segment that nobody forged."""
    return encode(
        log() if chunks is None else chunks,
        range_,
        source="a-source",
        name="db",
        bootstrap_t=BOOTSTRAP_T,
        schema=schema(),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """What a segment is made of.

    Attributes:
        document: its metadata, as plain data, without the schema.
        snapshot: the schema as plain data.
        tables: its row groups.
    """

    document: dict[str, Any]
    snapshot: Any
    tables: tuple[pa.Table, ...]


def taken_apart(data: bytes) -> Parts:
    """The parts of a segment."""
    file = pq.ParquetFile(pa.BufferReader(data))
    document = json.loads(file.metadata.metadata[b"asyncrestore"])
    snapshot = json.loads(zlib.decompress(base64.b64decode(document.pop("schema"))))
    groups = tuple(file.read_row_group(group) for group in range(file.num_row_groups))
    return Parts(document, snapshot, groups)


def packed(snapshot: Any) -> str:
    """A schema as the document has it."""
    return packed_text(json.dumps(snapshot))


def packed_text(text: str) -> str:
    """Any text where the document has the schema."""
    return base64.b64encode(zlib.compress(text.encode())).decode()


def put_together(parts: Parts, **options: Any) -> bytes:
    """A file of these parts, sealed; `options` are of Arrow's writer."""
    document = {**parts.document, "schema": parts.document.get("schema", packed(parts.snapshot))}
    return in_file(parts.tables, json.dumps(document), **options)


def in_file(tables: tuple[pa.Table, ...], document: str, **options: Any) -> bytes:
    """A file of these tables with any text as its document, sealed."""
    options = {
        "compression": "zstd",
        "store_schema": False,
        "write_statistics": ["t", "e", "a"],
        "use_dictionary": ["attribute", "type", "value_text"],
        **options,
    }
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, tables[0].schema, **options) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, len(table)))
        writer.add_key_value_metadata({"asyncrestore": document})
        writer.add_key_value_metadata({"asyncrestore.sha256": "0" * 64})
        writer.add_key_value_metadata({"asyncrestore.mac": "0" * 80})
    return sealed(sink.getvalue().to_pybytes())


def with_document(parts: Parts, **fields: Any) -> bytes:
    """The segment with other fields in its document; one that is `...` is left out."""
    changed = {name: value for name, value in {**parts.document, **fields}.items() if value is not ...}
    return put_together(replace(parts, document=changed))


def with_snapshot(parts: Parts, **changed: Any) -> bytes:
    """The segment with other parts of its schema, of which it has the right digest."""
    snapshot = {name: value for name, value in {**parts.snapshot, **changed}.items() if value is not ...}
    digest = snapshot_digest(snapshot)
    return put_together(
        replace(parts, snapshot=snapshot, document={**parts.document, "schema_sha256": digest})
    )


def with_column(parts: Parts, name: str, values: Any, group: int = 0) -> bytes:
    """The segment with other values in a column of a row group: an array, or a dictionary of some rows."""
    tables = list(parts.tables)
    table = tables[group]
    position = table.schema.get_field_index(name)
    field = table.schema.field(position)
    if isinstance(values, dict):
        rows = table.column(name).to_pylist()
        for row, value in values.items():
            rows[row] = value
        values = pa.array(rows, field.type)
    tables[group] = table.set_column(position, field.with_type(values.type), values)
    return put_together(replace(parts, tables=tuple(tables)))


def row_of(parts: Parts, kind: str) -> int:
    """The first row of the first row group that has a value of that kind."""
    rows: list[str] = parts.tables[0].column("type").to_pylist()
    return rows.index(KINDS[kind])
