"""A backup in SQL: the rows that its segments give, and the views over them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from asyncrestore.model.values import to_python
from asyncrestore.segments import arrow

if TYPE_CHECKING:
    from collections.abc import Collection

    from asyncrestore.model.schema import Schema

_STORED = [
    pa.field(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
    for field in arrow.SCHEMA
]
ROWS = pa.schema([*_STORED, pa.field("instant", pa.timestamp("ms", tz="UTC"))])
"""The columns of a segment, and the instant of each datom's transaction."""

# In milliseconds. DuckDB counts microseconds, so Datomic's instants reach a thousand times as far.
_LAST_INSTANT = 9_223_372_022_400_000

_ATTRIBUTES = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("ident", pa.string()),
        pa.field("type", pa.string()),
        pa.field("cardinality", pa.string()),
        pa.field("unique", pa.string()),
    ]
)

VIEWS = """
CREATE VIEW datoms AS
    SELECT t, tx, instant, e, a, attribute, type,
        coalesce(value_text, value_ref::VARCHAR, value_long::VARCHAR, value_double::VARCHAR,
            value_float::VARCHAR, value_boolean::VARCHAR,
            strftime(value_instant, '%Y-%m-%dT%H:%M:%S.%gZ')) AS value,
        added, value_ref, value_long, value_double, value_float, value_boolean, value_instant, value_text
    FROM stored_datoms;
CREATE VIEW transactions AS
    WITH grouped AS (
        SELECT t, tx, instant, count(*) AS datoms,
            coalesce(list({'attribute': coalesce(attribute, a::VARCHAR), 'value': value}
                ORDER BY attribute, value)
                FILTER (e = tx AND added AND a <> $tx_instant), []) AS said
        FROM datoms GROUP BY t, tx, instant)
    SELECT t, tx, instant, datoms,
        map_from_entries(list_transform(list_sort(list_distinct(list_transform(said, lambda x: x.attribute))),
            lambda k: {'key': k, 'value': list_transform(list_filter(said, lambda x: x.attribute = k),
                lambda x: x.value)})) AS metadata
    FROM grouped;
CREATE VIEW attributes AS SELECT * FROM stored_attributes;
CREATE MACRO as_of(last_t) AS TABLE
    SELECT * FROM datoms WHERE t <= last_t
    QUALIFY row_number() OVER (PARTITION BY e, a, type, value ORDER BY t DESC) = 1 AND added;
"""
"""The views, over `stored_datoms` and `stored_attributes`; `$tx_instant` is the id of `:db/txInstant`."""


def hidden_attributes(schema: Schema) -> frozenset[int]:
    """Returns the attributes that a restore made for itself, which queries do not show."""
    return frozenset(filter(schema.is_bookkeeping, schema.attributes))


def rows(table: pa.Table, start: int, tx_instant: int, hidden: Collection[int]) -> pa.Table:
    """Returns the rows that a segment gives to queries.

    Args:
        table: the whole segment, as it is stored.
        start: transactions before this t are left out.
        tx_instant: entity id of `:db/txInstant`.
        hidden: attributes to leave out; datoms about the attributes themselves are left out too.
    """
    by_name = {name: table.column(name) for name in table.column_names}
    for name in ("attribute", "type"):
        by_name[name] = by_name[name].cast(pa.string())
    by_name["instant"] = _instants(table, tx_instant)
    instants = by_name["value_instant"]
    far = pc.fill_null(_far(instants), fill_value=False)
    if pc.any(far).as_py():
        milliseconds = instants.cast(pa.int64()).cast(pa.string())
        by_name["value_text"] = pc.if_else(far, milliseconds, by_name["value_text"])
        by_name["value_instant"] = _near(instants)
    by_name["value_text"] = _readable(by_name["type"], by_name["value_text"])
    shown = pc.greater_equal(table.column("t"), start)
    if hidden:
        ids = pa.array(sorted(hidden), pa.int64())
        for name in ("a", "e"):
            shown = pc.and_(shown, pc.invert(pc.is_in(table.column(name), ids)))
    return pa.table([by_name[name] for name in ROWS.names], schema=ROWS).filter(shown)


def _instants(table: pa.Table, tx_instant: int) -> pa.ChunkedArray:
    """Returns the instant of each datom's transaction, which is among the datoms of the same segment."""
    dates = pc.and_(pc.equal(table.column("a"), tx_instant), pc.equal(table.column("e"), table.column("tx")))
    dated = table.filter(pc.and_(dates, table.column("added"))).select(["tx", "value_instant"])
    position = pc.index_in(table.column("tx"), dated.column("tx").combine_chunks())
    return _near(dated.column("value_instant")).take(position)


def _near(instants: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(_far(instants), pa.scalar(None, instants.type), instants)


def _far(instants: pa.ChunkedArray) -> pa.ChunkedArray:
    milliseconds = instants.cast(pa.int64())
    return pc.or_(pc.less(milliseconds, -_LAST_INSTANT), pc.greater(milliseconds, _LAST_INSTANT))


def _readable(types: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns the texts, with those of tuples as JSON lists of plain values."""
    tuples = pc.equal(types, "tuple")
    if not pc.any(tuples).as_py():
        return texts
    plain = [
        json.dumps([_slot(slot) for slot in json.loads(text)], ensure_ascii=False)
        for text in texts.filter(tuples).to_pylist()
    ]
    return pc.replace_with_mask(texts, tuples.combine_chunks(), pa.array(plain, pa.string()))


def _slot(slot: Any) -> Any:
    if slot is None:
        return None
    kind, raw = slot
    if kind not in "bdfi":
        return raw
    value = to_python(kind, raw)
    if kind == "i":
        return raw if isinstance(value, int) else value.isoformat(timespec="milliseconds")[:-6] + "Z"
    # JSON has no such numbers.
    return value if kind == "b" or abs(value) < float("inf") else str(value)


def attributes(schema: Schema) -> pa.Table:
    """Returns the attributes of a schema as a table, without those that a restore made for itself."""
    hidden = hidden_attributes(schema)
    return pa.Table.from_pylist(
        [
            {
                "id": entity,
                "ident": attribute.ident,
                "type": attribute.value_type.removeprefix("db.type/"),
                "cardinality": "many" if attribute.many else "one",
                "unique": attribute.unique and attribute.unique.removeprefix("db.unique/"),
            }
            for entity, attribute in sorted(schema.attributes.items())
            if attribute.value_type is not None and entity not in hidden
        ],
        schema=_ATTRIBUTES,
    )
