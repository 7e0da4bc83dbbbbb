"""Changes of a segment: of bytes, document, schema, columns and rows; the digest is made anew."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from asyncrestore.errors import DamageError
from asyncrestore.model.log import t_to_tx
from asyncrestore.model.values import KINDS
from asyncrestore.segments.seal import sealed
from tests.support import forged
from tests.support.altered import chunk_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from asyncrestore.model.log import Datom
    from tests.support.altered import Row
    from tests.support.forged import Parts

NUMBERS = [
    -(1 << 63),
    -(1 << 31),
    -1,
    0,
    1,
    5,
    6,
    20,
    40,
    1 << 31,
    1 << 42,
    (3 << 42) + 7,
    1 << 62,
    (1 << 63) - 1,
]
TEXTS = [
    "", "a", "db/ident", "\0", "ü", "9" * 400, "[", "[]", "[[]]", "[null]", '[["l",1]]', '[["s","\\ud800"]]',
    '[["t",[["l",1]]]]', '[["r",-1],null]', "[" * 2000, "1E+999999999999", "1E+2147483648", "NaN", "-0",
    "0.0", "\u0661", "http://[::1]:x", "a b", "%zz", ":", "AA==", "AB==", "v/long",
    "7d0162a9-2636-46f2-b0e8-a9336075eee2",
]  # fmt: skip
JSON_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1 << 64,
    "",
    "a",
    "\ud800",
    [],
    [1],
    {},
    {"a": []},
    [[[[]]]],
    "9" * 5000,
]


def flipped_bytes(random: Random, data: bytes, _parts: Parts) -> bytes:
    """Some bytes are others, anywhere or in the footer."""
    changed = bytearray(data)
    least = random.choice([0, max(0, len(data) - 3500)])
    for _ in range(random.choice([1, 1, 2, 8])):
        position = random.randrange(least, len(data))
        changed[position] = random.choice(
            [changed[position] ^ 1 << random.randrange(8), random.randrange(256)]
        )
    return bytes(changed)


def cut_or_moved(random: Random, data: bytes, _parts: Parts) -> bytes:
    """A piece is left out, there twice, or in another place."""
    first, last = sorted(random.randrange(len(data)) for _ in range(2))
    last = min(last, first + random.choice([1, 8, 100, 1000]))
    piece = data[first:last]
    at = random.randrange(len(data))
    return random.choice(
        [
            data[:first] + data[last:],
            data[:last] + piece + data[last:],
            data[:at] + piece + data[at + len(piece) :],
        ]
    )


def other_field(random: Random, _data: bytes, parts: Parts) -> bytes:
    """A field of the document is another, is missing, or there is one more."""
    name = random.choice([*parts.document, "schema", "more"])
    fields: dict[str, Any] = {name: random.choice([*JSON_VALUES, *NUMBERS, ...])}
    if random.random() < 0.3:
        fields[random.choice(list(parts.document))] = random.choice(NUMBERS)
    return forged.with_document(parts, **fields)


def other_text(random: Random, _data: bytes, parts: Parts) -> bytes:
    """Characters of the document are others."""
    text = json.dumps({**parts.document, "schema": forged.packed(parts.snapshot)})
    for _ in range(random.choice([1, 2, 5])):
        at = random.randrange(min(len(text), 500))
        text = (
            text[:at] + random.choice('{}[]",:0123456789.eE-\\u truefalsn') + text[at + random.randrange(3) :]
        )
    return forged.in_file(parts.tables, text)


def other_schema(random: Random, _data: bytes, parts: Parts) -> bytes:
    """Something in the schema is another, and its digest is right."""
    snapshot = json.loads(json.dumps(parts.snapshot))
    part = random.choice([*snapshot, "past", "predicates", "more"])
    inner = snapshot.get(part)
    value = random.choice([*JSON_VALUES, *NUMBERS])
    if isinstance(inner, dict) and inner and random.random() < 0.8:
        key = random.choice(list(inner))
        if isinstance(inner[key], list) and inner[key] and random.random() < 0.8:
            inner[key][random.randrange(len(inner[key]))] = value
        elif random.random() < 0.5:
            inner[key] = value
        else:
            inner[random.choice([*inner, "x", "-1", "007", "140", str(1 << 62)])] = inner.pop(key)
    else:
        snapshot[part] = value
    try:
        return forged.with_snapshot(replace(parts, snapshot=snapshot))
    except UnicodeEncodeError:
        return forged.put_together(replace(parts, snapshot=snapshot))


def other_values(random: Random, data: bytes, parts: Parts) -> bytes:
    """Values in a column of a row group are others."""
    group = random.randrange(len(parts.tables))
    table = parts.tables[group]
    name = random.choice(table.column_names)
    field = table.schema.field(name)
    if name == "value_instant":
        return data
    rows = table.column(name).to_pylist()
    for _ in range(random.choice([1, 1, 3])):
        at = random.randrange(len(rows))
        rows[at] = random.choice([rows[random.randrange(len(rows))], _value(random, field.type)])
        if rows[at] is None and not field.nullable:
            rows[at] = rows[at - 1]
    return forged.with_column(parts, name, pa.array(rows, field.type), group)


def _value(random: Random, type_: pa.DataType) -> Any:
    if pa.types.is_int64(type_):
        return random.choice(NUMBERS)
    if pa.types.is_string(type_):
        return random.choice([*TEXTS, *KINDS.values()])
    if pa.types.is_boolean(type_):
        return random.random() < 0.5
    return None


def other_value_of_a_type(random: Random, data: bytes, parts: Parts) -> bytes:
    """A text of some type is another one: what a column allows, and the type may not."""
    group = random.randrange(len(parts.tables))
    texts = parts.tables[group].column("value_text").to_pylist()
    there = [row for row, text in enumerate(texts) if text is not None]
    if not there:
        return data
    at = random.choice(there)
    text = texts[at]
    place = random.randrange(len(text) + 1)
    other = (
        text[:place]
        + random.choice([*TEXTS, *'[]{}",:-+.eE/%# 0aA=\u00e9'])
        + text[place + random.randrange(2) :]
    )
    return forged.with_column(parts, "value_text", {at: other}, group)


def other_kind(random: Random, _data: bytes, parts: Parts) -> bytes:
    """A datom has a value of another type, in the right column."""
    tables = list(parts.tables)
    group = random.randrange(len(tables))
    table = tables[group]
    order = list(range(len(table)))
    order[random.randrange(len(order))] = random.choice(order)
    for position, field in enumerate(table.schema):
        if field.name == "type" or field.name.startswith("value_"):
            table = table.set_column(position, field, table.column(position).take(pa.array(order)))
    tables[group] = table
    return forged.put_together(replace(parts, tables=tuple(tables)))


def other_rows(random: Random, _data: bytes, parts: Parts) -> bytes:
    """Rows are missing, there twice, or in another order."""
    group = random.randrange(len(parts.tables))
    table = parts.tables[group]
    order = list(range(len(table)))
    for _ in range(random.choice([1, 2])):
        at = random.randrange(len(order))
        if len(order) > 1 and random.random() < 0.4:
            order.pop(at)
        elif random.random() < 0.5:
            order.insert(random.randrange(len(order)), order[at])
        else:
            other = random.randrange(len(order))
            order[at], order[other] = order[other], order[at]
    tables = list(parts.tables)
    tables[group] = table.take(pa.array(order, pa.int64()))
    fields = {} if random.random() < 0.3 else {"datoms": sum(map(len, tables))}
    return forged.with_document(replace(parts, tables=tuple(tables)), **fields)


def other_groups(random: Random, _data: bytes, parts: Parts) -> bytes:
    """Row groups are cut, repeated or swapped."""
    tables = list(parts.tables)
    at = random.randrange(len(tables))
    cut = random.randrange(len(tables[at]) + 1)
    tables[at : at + 1] = random.choice(
        [
            [tables[at].slice(0, cut), tables[at].slice(cut)],
            [tables[at]] * 2,
            [tables[at].slice(0, 0), tables[at]],
        ]
    )
    if random.random() < 0.3:
        random.shuffle(tables)
    return forged.put_together(replace(parts, tables=tuple(tables)))


def other_columns(random: Random, _data: bytes, parts: Parts) -> bytes:
    """A column has another type or name, is missing, repeated or in another place."""
    name = random.choice(parts.tables[0].column_names)
    way = random.randrange(5)
    type_ = random.choice(
        [pa.int32(), pa.int64(), pa.string(), pa.float64(), pa.bool_(), pa.binary(), pa.list_(pa.int64())]
    )

    def change(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(name)
        column = table.column(position)
        if way == 0:
            return table.remove_column(position)
        if way == 1:
            return table.add_column(position, table.schema.field(position), column)
        if way == 2:
            return table.set_column(position, pa.field(name, type_), pa.nulls(len(table), type_))
        if way == 3:
            return table.rename_columns([each if each != name else "t" for each in table.column_names])
        return table.set_column(position, table.schema.field(position).with_nullable(True), column)

    return forged.put_together(replace(parts, tables=tuple(map(change, parts.tables))))


def other_file(random: Random, _data: bytes, parts: Parts) -> bytes:
    """The file is written in another way."""
    options: dict[str, Any] = random.choice(
        [
            {"compression": random.choice(["none", "gzip", "snappy", "lz4", "zstd"])},
            {"use_dictionary": random.choice([False, ["value_text"], True])},
            {"data_page_version": "2.0"},
            {"write_statistics": random.choice([True, False])},
            {"data_page_size": random.choice([1, 64, 1000])},
            {"dictionary_pagesize_limit": random.choice([1, 50])},
            {"write_page_checksum": True},
            {"store_schema": True},
            {
                "use_dictionary": False,
                "column_encoding": {"e": "DELTA_BINARY_PACKED", "value_text": "DELTA_BYTE_ARRAY"},
            },
            {"use_byte_stream_split": ["value_double"], "use_dictionary": False},
        ]
    )
    return forged.put_together(parts, **options)


BYTES: list[Callable[[Random, bytes, Parts], bytes]] = [flipped_bytes, cut_or_moved]
STRUCTURE: list[Callable[[Random, bytes, Parts], bytes]] = [
    other_field, other_text, other_schema, other_values, other_value_of_a_type, other_kind, other_rows,
    other_groups, other_columns, other_file,
]  # fmt: skip


def generated(random: Random) -> bytes:
    """A segment of made-up transactions; in half of the cases with some changes."""
    chunks, t = [], forged.BOOTSTRAP_T
    for _ in range(random.choice([0, 1, 1, 2])):
        rows: list[Row] = []
        for _ in range(random.randrange(1, 5)):
            t += random.choice([1, 1, 2])
            tx = t_to_tx(t)
            rows.append((tx, (tx, forged.TX_INSTANT, "i", random.choice([t, *NUMBERS]), True)))
            rows += [(tx, _datom(random)) for _ in range(random.randrange(8))]
        chunks.append(chunk_of(rows))
    try:
        data = forged.sound(chunks=chunks)
    except DamageError:
        return b""
    parts = forged.taken_apart(data)
    for _ in range(random.choice([0, 1, 2]) if parts.tables else 0):
        data = random.choice(STRUCTURE if random.random() < 0.8 else BYTES)(random, data, parts)
    return _sealed(data)


def _datom(random: Random) -> Datom:
    kind = random.choice(list(forged.ATTRIBUTES))
    entity = random.choice([4, 4, 4, 0, 3, 17]) << 42 | random.randrange(1, 1000)
    value = random.choice(forged.VALUES[kind])
    if kind in "sky":
        value = random.choice(TEXTS) + "x" * random.choice([0, 0, 5000])
    elif kind in "ld":
        value = random.choice(NUMBERS)
    return entity, forged.ATTRIBUTES[kind], kind, value, random.random() < 0.8


def mutated(random: Random, data: bytes, parts: Parts) -> bytes:
    """The segment after a change or two, with the digest made anew where there is still a place for it."""
    changed = random.choice([*BYTES * 6, *STRUCTURE])(random, data, parts)
    if random.random() < 0.1:
        changed = random.choice(BYTES)(random, changed, parts)
    return _sealed(changed)


def _sealed(data: bytes) -> bytes:
    """With the digest made anew, if there is still a place for it."""
    try:
        return sealed(data)
    except ValueError:
        return data
