"""Turns datoms into an Arrow table and back, by columns, without a Python object for each datom."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from asyncrestore.model import INDEX_BITS, INDEX_MASK, TX_PARTITION, LogChunk
from asyncrestore.values import KINDS, NUMERIC_KINDS

if TYPE_CHECKING:
    from asyncrestore.schema import Schema

SCHEMA = pa.schema(
    [
        pa.field("t", pa.int64(), nullable=False),
        pa.field("tx", pa.int64(), nullable=False),
        pa.field("e", pa.int64(), nullable=False),
        pa.field("a", pa.int64(), nullable=False),
        pa.field("attribute", pa.dictionary(pa.int32(), pa.string())),
        pa.field("type", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("added", pa.bool_(), nullable=False),
        pa.field("value_ref", pa.int64()),
        pa.field("value_long", pa.int64()),
        pa.field("value_double", pa.float64()),
        pa.field("value_float", pa.float32()),
        pa.field("value_boolean", pa.bool_()),
        pa.field("value_instant", pa.timestamp("ms", tz="UTC")),
        pa.field("value_text", pa.string()),
    ]
)

STORED = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if pa.types.is_string(field.type) else field
        for field in SCHEMA
    ]
)
"""The columns as they are read, with all texts as dictionaries: these are never larger than the file says."""

NEEDED = [name for name in SCHEMA.names if name not in {"t", "attribute"}]
"""The columns that `from_table` reads; the others are there for queries."""

_LETTERS = pa.array([ord(kind) for kind in KINDS], pa.uint8())
_TYPES = pa.array(KINDS.values(), pa.string())
_NUMERIC = pa.array([ord(kind) for kind in sorted(NUMERIC_KINDS)], pa.uint8())


def to_table(chunk: LogChunk, schema: Schema) -> pa.Table:
    """Turns a chunk into a table.

    Args:
        chunk: whole transactions.
        schema: names the attributes; as of before the chunk, and moved on to after it.
    """
    kinds = _bytes(chunk.kinds)
    tx, numbers = _longs(chunk.tx), _longs(chunk.numbers)
    null = pa.scalar(None, pa.int64())

    def of_kind(letter: str) -> pa.Array:
        return pc.if_else(pc.equal(kinds, ord(letter)), numbers, null)

    values = {
        "t": pc.bit_wise_and(tx, INDEX_MASK),
        "tx": tx,
        "e": _longs(chunk.e),
        "a": _longs(chunk.a),
        "attribute": _idents(chunk, schema),
        "type": pa.DictionaryArray.from_arrays(pc.index_in(kinds, _LETTERS), _TYPES),
        "added": pc.equal(_bytes(chunk.added), ord("+")),
        "value_ref": of_kind("r"),
        "value_long": of_kind("l"),
        "value_double": of_kind("d").view(pa.float64()),
        "value_float": of_kind("f").cast(pa.int32()).view(pa.float32()),
        "value_boolean": of_kind("b").cast(pa.bool_()),
        "value_instant": of_kind("i").view(pa.timestamp("ms", tz="UTC")),
        "value_text": _spread(chunk.texts, pc.invert(pc.is_in(kinds, _NUMERIC))),
    }
    return pa.table(values, schema=SCHEMA)


def from_table(table: pa.Table) -> LogChunk:
    """Turns a table, with the columns `NEEDED` at least, back into a chunk. Texts may be dictionaries."""

    def column(name: str) -> pa.Array:
        return table.column(name).combine_chunks()

    types = column("type")
    kinds = pc.take(pc.take(_LETTERS, pc.index_in(types.dictionary, _TYPES)), types.indices)
    numbers = pc.coalesce(
        column("value_ref"),
        column("value_long"),
        column("value_double").view(pa.int64()),
        column("value_float").view(pa.int32()).cast(pa.int64()),
        column("value_boolean").cast(pa.int64()),
        column("value_instant").view(pa.int64()),
        pa.scalar(0, pa.int64()),
    )
    kind_text = _text(kinds)
    added = pc.if_else(column("added"), pa.scalar(ord("+"), pa.uint8()), pa.scalar(ord("-"), pa.uint8()))
    return LogChunk(
        tx=_array(column("tx")),
        e=_array(column("e")),
        a=_array(column("a")),
        numbers=_array(numbers),
        kinds=kind_text,
        added=_text(added),
        texts=_texts(column("value_text").drop_null(), kind_text),
    )


def largest(entities: pa.Array) -> tuple[int, int, int]:
    """Returns the largest index of schema elements, transactions and other entities, -1 for none."""
    partitions, indexes = pc.shift_right(entities, INDEX_BITS), pc.bit_wise_and(entities, INDEX_MASK)
    schema, tx = pc.equal(partitions, 0), pc.equal(partitions, TX_PARTITION)

    def most(mask: pa.Array) -> int:
        found = pc.max(indexes.filter(mask)).as_py()
        return -1 if found is None else found

    return most(schema), most(tx), most(pc.invert(pc.or_(schema, tx)))


def _texts(column: pa.Array, kinds: str) -> list[Any]:
    """Returns the values that are text, tuples in their raw form; what is there often, only once."""
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    distinct, indexes = column.dictionary.to_pylist(), column.indices.to_pylist()
    if "t" not in kinds:
        return [distinct[index] for index in indexes]
    text_kinds = (kind for kind in kinds if kind not in NUMERIC_KINDS)
    pairs = list(zip(text_kinds, indexes, strict=True))
    tuples = {index: slots_of(distinct[index]) for index in {i for kind, i in pairs if kind == "t"}}
    return [tuples[index] if kind == "t" else distinct[index] for kind, index in pairs]


def _idents(chunk: LogChunk, schema: Schema) -> pa.Array:
    """Returns the ident of each datom's attribute, as of before its transaction."""
    pieces: list[pa.Array] = []
    a = _longs(chunk.a)
    start = 0
    for position, transaction in changes_in(chunk, schema):
        pieces.append(_named(a[start:position], schema))
        schema.apply(transaction)
        start = position
    pieces.append(_named(a[start:], schema))
    return pa.concat_arrays(piece.dictionary_decode() for piece in pieces).dictionary_encode()


def changes_in(chunk: LogChunk, schema: Schema) -> list[tuple[int, list[Any]]]:
    """Returns the transactions that change the schema: the position just after each, and its datoms."""
    if not schema.touches(set(chunk.a)):
        return []
    changes, position = [], 0
    for transaction in chunk.transactions():
        position += len(transaction)
        if schema.touches(transaction.a):
            changes.append((position, transaction.datoms))
    return changes


def _named(a: pa.Array, schema: Schema) -> pa.Array:
    ids = pc.unique(a)
    known = (schema.attributes.get(attribute) for attribute in ids.to_pylist())
    names = pa.array([None if attribute is None else attribute.ident for attribute in known], pa.string())
    return pa.DictionaryArray.from_arrays(pc.index_in(a, ids), names)


def _spread(texts: list[Any], mask: pa.Array) -> pa.Array:
    """Puts the texts, in order, into the rows where the mask is true; the other rows are null."""
    values = pa.array([text if isinstance(text, str) else json.dumps(text) for text in texts], pa.string())
    positions = pc.subtract(pc.cumulative_sum(mask.cast(pa.int64())), 1)
    return pc.take(values, pc.if_else(mask, positions, pa.scalar(None, pa.int64())))


def slots_of(text: str) -> Any:
    """Returns the raw form of a tuple from its text."""
    return _slots(json.loads(text))


def _slots(value: Any) -> Any:
    return tuple(_slots(slot) for slot in value) if isinstance(value, list) else value


def _longs(column: array[int]) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(column), [None, pa.py_buffer(column)])


def _bytes(text: str) -> pa.Array:
    return pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text.encode("ascii"))])


def _array(column: pa.Array) -> array[int]:
    values = array("q")
    values.frombytes(memoryview(column.buffers()[1])[8 * column.offset : 8 * (column.offset + len(column))])
    return values


def _text(letters: pa.Array) -> str:
    return bytes(memoryview(letters.buffers()[1])[letters.offset : letters.offset + len(letters)]).decode(
        "ascii"
    )
