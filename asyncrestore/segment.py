"""Segments: the transactions with source t in [start, end), as one lossless Parquet file.

Each row is a datom, in the log's order; a row group holds whole transactions. Typed value columns make a
backup readable in place by DuckDB, Spark, Athena or pandas:

    t, tx, e, a, attribute, type, added,
    value_ref, value_long, value_double, value_float, value_boolean, value_instant, value_text

`value_text` holds strings, keywords (without colon), symbols, uuids, uris, bigints, bigdecs, bytes (base64)
and tuples (JSON: a list of [kind, value] or null). The file's metadata holds a JSON document under
`asyncrestore` (see `SegmentInfo`), and the digest.

The digest is the SHA-256 of the whole file with the digest's own digits set to 0, so that a change of any
byte shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asyncrestore import arrow
from asyncrestore.errors import DamageError, NewerFormat, SegmentDamaged
from asyncrestore.ids import SeenIds
from asyncrestore.model import LogChunk, tx_to_t

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from asyncrestore.schema import Schema

FORMAT = 1
_INFO_KEY = b"asyncrestore"
_DIGEST_KEY = b"asyncrestore.sha256"
_NO_DIGEST = b"0" * 64
_KEY = re.compile(r"(\d{13})-(\d{13})\.parquet")


@dataclass(frozen=True, slots=True, order=True)
class SegmentRange:
    """The transactions that a segment holds: those with start <= t < end.

    It is a range and not a list, because t is sparse on some editions: only ranges show by arithmetic that a
    head or middle is missing.
    """

    start: int
    end: int

    @property
    def key(self) -> str:
        """The segment's file name."""
        return f"{self.start:013d}-{self.end:013d}.parquet"

    @classmethod
    def from_key(cls, key: str) -> SegmentRange | None:
        """Returns the range in a file name, None if it is not the name of a segment."""
        match = _KEY.fullmatch(key)
        return cls(int(match[1]), int(match[2])) if match and int(match[1]) < int(match[2]) else None


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment's metadata.

    Attributes:
        format: version of the format.
        source: identity of the source database.
        name: name of the source database.
        start: first t that the segment covers.
        end: first t that it does not cover any more.
        first_t: t of its first transaction, None if it has none.
        last_t: t of its last transaction, None if it has none.
        bootstrap_t: t of the source's last bootstrap transaction.
        transactions: how many it holds.
        datoms: how many it holds.
        largest: largest index of schema elements, transactions and other entities in entity position; -1 for
            none.
        schema: `Schema.to_json` as of before `start`.
    """

    format: int
    source: str
    name: str
    start: int
    end: int
    first_t: int | None
    last_t: int | None
    bootstrap_t: int
    transactions: int
    datoms: int
    largest: tuple[int, int, int]
    schema: dict[str, Any]

    @property
    def range(self) -> SegmentRange:
        """The transactions that the segment covers."""
        return SegmentRange(self.start, self.end)


def encode(
    chunks: Sequence[LogChunk],
    range_: SegmentRange,
    *,
    source: str,
    name: str,
    bootstrap_t: int,
    schema: Schema,
) -> bytes:
    """Makes a segment's bytes, and reads them back to prove that nothing is lost.

    Args:
        chunks: the transactions in order; each chunk has whole transactions.
        range_: what the segment covers.
        source: identity of the source database.
        name: name of the source database.
        bootstrap_t: t of the source's last bootstrap transaction.
        schema: as of before the range, and moved on to after it.

    Raises:
        DamageError: what was read back differs from `chunks`, or these are not in order or not in the range.
    """
    snapshot = schema.to_json()
    seen = SeenIds()
    txs: list[int] = []
    tables = []
    for chunk in chunks:
        for entity in chunk.e:
            seen.add(entity)
        txs += chunk.txs()
        tables.append(arrow.to_table(chunk, schema))
    _check_order(txs, range_)
    info = SegmentInfo(
        format=FORMAT,
        source=source,
        name=name,
        start=range_.start,
        end=range_.end,
        first_t=tx_to_t(txs[0]) if txs else None,
        last_t=tx_to_t(txs[-1]) if txs else None,
        bootstrap_t=bootstrap_t,
        transactions=len(txs),
        datoms=sum(map(len, chunks)),
        largest=seen.largest,
        schema=snapshot,
    )
    data = _seal(_write(tables, info))
    written = Segment(data)
    if written.info != info or list(written.chunks()) != [chunk for chunk in chunks if len(chunk)]:
        raise DamageError(
            f"Segment {range_.key} of {name} does not read back as it was written; it was not published"
        )
    return data


def _check_order(txs: list[int], range_: SegmentRange) -> None:
    ts = [tx_to_t(tx) for tx in txs]
    if any(a >= b for a, b in pairwise(ts)) or any(not range_.start <= t < range_.end for t in ts):
        raise DamageError(
            f"The log has transactions out of order or outside of t {range_.start} to {range_.end - 1}",
            hint="Run the backup again; if this persists, the source itself needs attention.",
        )


def _write(tables: list[pa.Table], info: SegmentInfo) -> bytearray:
    sink = pa.BufferOutputStream()
    # Statistics would put pieces of the data into the footer for every column; only t and a help queries.
    with pq.ParquetWriter(
        sink,
        arrow.SCHEMA,
        compression="zstd",
        store_schema=False,
        write_page_checksum=True,
        write_statistics=["t", "e", "a"],
        use_dictionary=["attribute", "type", "value_text"],
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, len(table)))
        writer.add_key_value_metadata({_INFO_KEY: json.dumps(asdict(info), separators=(",", ":"))})
        writer.add_key_value_metadata({_DIGEST_KEY: _NO_DIGEST})
    return bytearray(sink.getvalue())


def _digest_position(data: bytes | bytearray) -> int:
    """Returns where the digest's 64 digits begin: after its key and two bytes of Thrift (type, length)."""
    key = data.rfind(_DIGEST_KEY)
    position = key + len(_DIGEST_KEY) + 2
    if key < 0 or position + 64 > len(data):
        raise SegmentDamaged("it has no digest")
    return position


def _digest(data: bytes | bytearray, position: int) -> bytes:
    digest = hashlib.sha256(memoryview(data)[:position])
    digest.update(_NO_DIGEST)
    digest.update(memoryview(data)[position + 64 :])
    return digest.hexdigest().encode("ascii")


def _seal(data: bytearray) -> bytes:
    position = _digest_position(data)
    data[position : position + 64] = _digest(data, position)
    return bytes(data)


class Segment:
    """A segment read from its bytes; the digest is checked at once, before anything of it is used.

    Attributes:
        data: the bytes.
        info: the metadata.

    Raises:
        SegmentDamaged: the bytes are not what was written.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        position = _digest_position(data)
        expected, actual = bytes(data[position : position + 64]), _digest(data, position)
        if expected != actual:
            raise SegmentDamaged(
                f"its SHA-256 is {actual.decode()}, it should be {expected.decode(errors='replace')}"
            )
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=["attribute", "type"])
            self.info = _read_info(self._file.metadata.metadata[_INFO_KEY])
        except (pa.ArrowException, KeyError, OSError, TypeError, ValueError) as exc:
            raise SegmentDamaged(f"it is not a segment: {exc}") from exc

    @property
    def groups(self) -> int:
        """How many row groups it has."""
        return int(self._file.num_row_groups)

    def chunk(self, group: int) -> LogChunk:
        """Returns the transactions of one row group.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        try:
            return arrow.from_table(self._file.read_row_group(group, columns=arrow.NEEDED))
        except (pa.ArrowException, OSError) as exc:
            raise SegmentDamaged(f"row group {group} cannot be decoded: {exc}") from exc

    def chunks(self) -> Iterator[LogChunk]:
        """Yields all transactions in order, a row group at a time."""
        for group in range(self.groups):
            yield self.chunk(group)

    def some(self, attributes: Collection[int]) -> LogChunk:
        """Returns the datoms of a few attributes, in order; row groups that have none are not decoded.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        wanted, column = pa.array(attributes, pa.int64()), arrow.SCHEMA.get_field_index("a")
        found = []
        try:
            for group in range(self.groups):
                there = self._file.metadata.row_group(group).column(column).statistics
                if there is None or any(there.min <= a <= there.max for a in attributes):
                    table = self._file.read_row_group(group, columns=arrow.NEEDED)
                    rows = table.filter(pc.is_in(table.column("a"), wanted))
                    found += [arrow.from_table(rows)] if len(rows) else []
        except (pa.ArrowException, OSError) as exc:
            raise SegmentDamaged(f"it cannot be decoded: {exc}") from exc
        return LogChunk.join(found)

    def table(self) -> pa.Table:
        """Returns all rows and columns, as they are stored.

        Raises:
            SegmentDamaged: they cannot be decoded.
        """
        try:
            return self._file.read()
        except (pa.ArrowException, OSError) as exc:
            raise SegmentDamaged(f"it cannot be decoded: {exc}") from exc

    def check_rows(self) -> None:
        """Decodes and checks all transactions.

        Raises:
            SegmentDamaged: they cannot be decoded, are out of order or out of range, or are not as many as
                the metadata says.
        """
        transactions = datoms = 0
        last_t = self.info.start - 1
        for chunk in self.chunks():
            datoms += len(chunk)
            for tx in chunk.txs():
                if not last_t < tx_to_t(tx) < self.info.end:
                    raise SegmentDamaged(f"t {tx_to_t(tx)} is out of order or out of range")
                last_t = tx_to_t(tx)
                transactions += 1
        if (transactions, datoms) != (self.info.transactions, self.info.datoms):
            raise SegmentDamaged(f"it has {transactions} transactions and {datoms} datoms, not what it says")

    def same_rows(self, other: Segment) -> bool:
        """Returns whether both hold the same datoms in the same order, however they are grouped."""
        return LogChunk.join(list(self.chunks())) == LogChunk.join(list(other.chunks()))


def _read_info(text: bytes) -> SegmentInfo:
    document = json.loads(text)
    if document["format"] != FORMAT:
        raise NewerFormat(
            f"its format is version {document['format']}, this program knows {FORMAT}",
            hint="Use a newer asyncrestore.",
        )
    return SegmentInfo(**{**document, "largest": tuple(document["largest"])})
