"""Checks the rows of a segment: each is a datom, and all together are what the segment's metadata says.

Whole columns are compared, without a Python object for each datom.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from asyncrestore.errors import DamageError, SegmentDamaged
from asyncrestore.limits import segment_limit, too_large
from asyncrestore.model.ids import SeenIds
from asyncrestore.model.log import INDEX_BITS, INDEX_MASK, TX_PARTITION, t_to_tx, tx_to_t
from asyncrestore.model.values import KINDS, NUMERIC_KINDS
from asyncrestore.segments import arrow
from asyncrestore.segments.texts import CHECKED_TEXTS, LARGEST_ID, check_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncrestore.model.schema import Schema
    from asyncrestore.segments.document import SegmentInfo

_COLUMN_OF = {
    "r": "value_ref",
    "l": "value_long",
    "d": "value_double",
    "f": "value_float",
    "b": "value_boolean",
    "i": "value_instant",
}
_CODES = {kind: code for code, kind in enumerate(KINDS)}
_TYPES = pa.array(KINDS.values(), pa.string())
_TEXT_CODES = pa.array([code for kind, code in _CODES.items() if kind not in NUMERIC_KINDS], pa.int32())

_KIND_OF_BASE = {
    "db/ident": "k",
    "db/valueType": "r",
    "db/cardinality": "r",
    "db/unique": "r",
    "db/tupleAttrs": "t",
    "db.attr/preds": "y",
    "db/txInstant": "i",
    "db.alter/attribute": "r",
    "db/isComponent": "b",
    "db/excise": "r",
    "db.excise/attrs": "r",
    "db.excise/beforeT": "l",
    "db.excise/before": "i",
}
"""The kinds of values that a restore itself reads."""


class RowCheck:
    """Takes in the rows of a segment, a row group after the other.

    Args:
        info: what the segment says of itself.
        base: idents of the base schema by entity id.
        schema: as of the segment's start, if the segment holds it; it is moved on.

    Attributes:
        attributes: least and largest attribute id of each row group.
    """

    def __init__(self, info: SegmentInfo, base: Mapping[int, str], schema: Schema | None) -> None:
        self._info = info
        self._schema = schema
        self._kinds = {entity: _KIND_OF_BASE[i] for entity, i in base.items() if i in _KIND_OF_BASE}
        self._transactions = self._datoms = self._bytes = 0
        self._first_tx: int | None = None
        self._last_tx = t_to_tx(info.start) - 1
        self._seen = SeenIds()
        self.attributes: list[tuple[int, int]] = []

    def add(self, table: pa.Table) -> None:
        """Checks the rows of the next row group.

        Args:
            table: all columns, those of text as dictionaries.

        Raises:
            SegmentDamaged: a row is not a datom, or is out of place.
        """
        columns = {name: _whole(table.column(name)) for name in table.column_names}
        for column in columns.values():
            column.validate(full=True)
        for name in ("attribute", "value_text"):
            self._count_bytes(columns[name])
        codes = self._codes(columns["type"])
        self._check_places(columns["t"], columns["tx"])
        self._check_ids(columns)
        _check_values(columns, codes)
        self._check_base(columns["a"], codes, columns["value_text"])
        if self._schema is not None:
            self._follow(table, self._schema)
        self._datoms += len(table)

    def finish(self) -> None:
        """Checks all rows together.

        Raises:
            SegmentDamaged: they are not what the metadata says.
        """
        info = self._info
        if (self._transactions, self._datoms) != (info.transactions, info.datoms):
            raise SegmentDamaged(
                f"it has {self._transactions} transactions and {self._datoms} datoms, not what it says"
            )
        last_t = None if self._first_tx is None else tx_to_t(self._last_tx)
        first_t = None if self._first_tx is None else tx_to_t(self._first_tx)
        if (first_t, last_t) != (info.first_t, info.last_t):
            raise SegmentDamaged(f"its transactions are those from t {first_t} to {last_t}, not what it says")
        if self._seen.largest != info.largest:
            raise SegmentDamaged(f"its largest indexes are {self._seen.largest}, not what it says")

    def _count_bytes(self, texts: pa.DictionaryArray) -> None:
        """A dictionary may have one long text a million times."""
        lengths = pc.binary_length(texts.dictionary).cast(pa.int64())
        # What no row has takes memory, too.
        self._bytes += max(pc.sum(each).as_py() or 0 for each in (lengths, pc.take(lengths, texts.indices)))
        if self._bytes > segment_limit():
            raise too_large(f"its texts take {self._bytes:,} bytes or more")

    def _codes(self, types: pa.DictionaryArray) -> pa.Array:
        codes = pc.take(pc.index_in(types.dictionary, _TYPES), types.indices)
        if codes.null_count:
            raise SegmentDamaged("a datom has an unknown type of value")
        return codes

    def _check_places(self, t: pa.Array, tx: pa.Array) -> None:
        """Checks that transactions are in order, in range, and not in two row groups."""
        ids = pc.min_max(tx).as_py()
        if ids["min"] >> INDEX_BITS != TX_PARTITION or ids["max"] >> INDEX_BITS != TX_PARTITION:
            raise SegmentDamaged("a datom has a transaction that is none")
        if not t.equals(pc.bit_wise_and(tx, INDEX_MASK)):
            raise SegmentDamaged("t and tx of a datom do not fit each other")
        before, after = tx.slice(0, len(tx) - 1), tx.slice(1)
        first, last = tx[0].as_py(), tx[-1].as_py()
        in_order = not pc.any(pc.less(after, before)).as_py()
        if not (in_order and self._last_tx < first and tx_to_t(last) < self._info.end):
            raise SegmentDamaged(f"a t from {tx_to_t(first)} to {tx_to_t(last)} is out of order or range")
        self._transactions += 1 + (pc.sum(pc.not_equal(before, after)).as_py() or 0)
        self._first_tx = first if self._first_tx is None else self._first_tx
        self._last_tx = last

    def _check_ids(self, columns: Mapping[str, pa.Array]) -> None:
        for name in ("e", "a", "value_ref"):
            ids = pc.min_max(columns[name]).as_py()
            if ids["min"] is not None and not 0 <= ids["min"] <= ids["max"] <= LARGEST_ID:
                raise SegmentDamaged(f"column {name} has a number that is no entity id")
            if name == "a":
                self.attributes.append((ids["min"], ids["max"]))
        self._seen.merge(arrow.largest(columns["e"]))

    def _check_base(self, a: pa.Array, codes: pa.Array, texts: pa.DictionaryArray) -> None:
        """Checks the kinds of the values that a restore reads itself."""
        for attribute in set(pc.unique(a).to_pylist()) & self._kinds.keys():
            of_it = pc.equal(a, attribute)
            kind = self._kinds[attribute]
            if pc.unique(codes.filter(of_it)).to_pylist() != [_CODES[kind]]:
                raise SegmentDamaged(f"attribute {attribute} has a value that is no {KINDS[kind]}")
            if kind == "t":
                for text in texts.filter(of_it).to_pylist():
                    if any(slot is None or slot[0] != "k" for slot in arrow.slots_of(text)):
                        raise SegmentDamaged(f"attribute {attribute} has a slot that is no keyword")

    def _follow(self, table: pa.Table, schema: Schema) -> None:
        """Checks that each attribute is known and has the name that it has as of its transaction."""
        a, names = _whole(table.column("a")), _whole(table.column("attribute"))
        changes: list[tuple[int, list[Any]]] = []
        if schema.touches(pc.unique(a).to_pylist()):
            changes = _changes(table, schema)
        # The bootstrap makes its own attributes as it goes; no restore needs it.
        known_after = t_to_tx(self._info.bootstrap_t)
        own = pc.sum(pc.less_equal(_whole(table.column("tx")), known_after)).as_py()
        start = 0
        for position, transaction in [*changes, (len(a), [])]:
            piece = slice(start, position)
            _check_names(a[piece], names[piece], schema)
            _check_composites(a[piece], _whole(table.column("value_text"))[piece], schema)
            unknown = set(pc.unique(a[max(start, own) : max(position, own)]).to_pylist())
            unknown -= schema.attributes.keys() | schema.base.keys()
            if unknown:
                raise SegmentDamaged(f"it has a datom of the unknown attribute {min(unknown)}")
            try:
                schema.apply(transaction)
            except DamageError as exc:
                raise SegmentDamaged(str(exc)) from exc
            start = position


def _changes(table: pa.Table, schema: Schema) -> list[tuple[int, list[Any]]]:
    """Returns what `arrow.changes_in` does for these rows; only transactions that change it are decoded."""
    ids = pc.unique(table.column("a"))
    touching = pa.array([each for each in ids.to_pylist() if schema.touches([each])], pa.int64())
    tx = _whole(table.column("tx"))
    changing = pc.unique(tx.filter(pc.is_in(table.column("a"), touching)))
    rows = arrow.from_table(table.filter(pc.is_in(tx, changing)))
    places = memoryview(tx.buffers()[1]).cast("q")[tx.offset : tx.offset + len(tx)]
    return [(bisect_right(places, each.tx), each.datoms) for each in rows.transactions()]


def _check_names(a: pa.Array, names: pa.DictionaryArray, schema: Schema) -> None:
    """Checks the names of attributes, of which each is looked at once."""
    ids, dictionary = pc.unique(a), names.dictionary.to_pylist()
    width = len(dictionary) + 1
    indexes = pc.fill_null(names.indices, width - 1).cast(pa.int64())
    pairs = pc.unique(pc.add(pc.multiply(pc.index_in(a, ids).cast(pa.int64()), width), indexes))
    known, texts = ids.to_pylist(), [*dictionary, None]
    for pair in pairs.to_pylist():
        attribute = schema.attributes.get(known[pair // width])
        if texts[pair % width] != (None if attribute is None else attribute.ident):
            raise SegmentDamaged("a datom has another name of its attribute than the schema says")


def _check_composites(a: pa.Array, texts: pa.DictionaryArray, schema: Schema) -> None:
    """Checks that a composite's values have a slot for each of its components."""
    for entity in pc.unique(a).to_pylist():
        attribute = schema.attributes.get(entity)
        if attribute is not None and attribute.components:
            for text in pc.unique(texts.filter(pc.equal(a, entity))).to_pylist():
                slots = None if text is None else arrow.slots_of(text)
                if not isinstance(slots, tuple) or len(slots) != len(attribute.components):
                    raise SegmentDamaged(f"a value of the composite {entity} has other components than it")


def _whole(column: pa.ChunkedArray) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _check_values(columns: Mapping[str, pa.Array], codes: pa.Array) -> None:
    """Checks that each datom has a value in the column of its type, and in no other."""
    for kind, name in _COLUMN_OF.items():
        if not pc.is_valid(columns[name]).equals(pc.equal(codes, _CODES[kind])):
            raise SegmentDamaged(f"column {name} does not fit the types of the datoms")
    texts = columns["value_text"]
    if not pc.is_valid(texts).equals(pc.is_in(codes, _TEXT_CODES)):
        raise SegmentDamaged("column value_text does not fit the types of the datoms")
    occurring = pc.unique(codes).to_pylist()
    for kind in CHECKED_TEXTS:
        if _CODES[kind] in occurring:
            used = pc.unique(texts.indices.filter(pc.equal(codes, _CODES[kind])))
            check_texts(kind, pc.take(texts.dictionary, used))
