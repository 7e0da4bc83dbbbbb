"""The Parquet file of a segment: opened if it is as segments are written, and no larger than the limit.

What a file takes is known from its footer and from the headers of its pages, before any of it is decoded.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from asyncrestore import arrow
from asyncrestore.errors import SegmentDamaged
from asyncrestore.limits import metadata_limit, segment_limit, too_large
from asyncrestore.parquet_pages import DATA_PAGE, DICTIONARY_PAGE, PLAIN, RLE, RLE_DICTIONARY, pages
from asyncrestore.values import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

INFO_KEY = b"asyncrestore"
DIGEST_KEY = b"asyncrestore.sha256"

ROW_BYTES = 96
"""What a row takes in memory without its text: 14 columns, and the bits that say which are null."""

_MAGIC = b"PAR1"
_END = 8
"""A file ends with the length of its footer, in four bytes, and the magic bytes."""

_LONGEST_LIST = 512
"""Of anything in the footer. A segment has 14 columns, and fewer than 100 row groups."""

_TEXTS = ["attribute", "type", "value_text"]
_ENCODINGS = {DATA_PAGE: {PLAIN, RLE, RLE_DICTIONARY}, DICTIONARY_PAGE: {PLAIN}}
"""The encodings of each kind of page: plain, RLE (of booleans), indexes into a dictionary."""


def open_parquet(data: bytes) -> pq.ParquetFile:
    """Opens a segment's file, and checks its structure.

    Raises:
        SegmentDamaged: it is not such a file, or takes more memory than the limit allows.
    """
    _check_footer_size(data)
    with decoding("it is not a segment: its footer"):
        file = pq.ParquetFile(
            pa.BufferReader(data),
            read_dictionary=_TEXTS,
            thrift_string_size_limit=metadata_limit(),
            thrift_container_size_limit=_LONGEST_LIST,
            page_checksum_verification=False,  # the digest is of all bytes
        )
        _check_columns(file)
    rows = 0
    for group in range(file.num_row_groups):
        metadata = file.metadata.row_group(group)
        rows += metadata.num_rows
        if not metadata.num_rows > 0:
            raise SegmentDamaged(f"row group {group} is empty")
        if rows * ROW_BYTES > segment_limit():
            raise too_large(f"its {rows:,} rows or more take {rows * ROW_BYTES:,} bytes or more")
        for column in range(metadata.num_columns):
            _check_column(data, metadata.column(column), metadata.num_rows)
    if rows != file.metadata.num_rows:
        raise SegmentDamaged("its row groups have not as many rows as it has")
    return file


def _check_footer_size(data: bytes) -> None:
    if len(data) > segment_limit():
        raise too_large(f"it has {len(data):,} bytes")
    if not (len(data) > 2 * _END and data.startswith(_MAGIC) and data.endswith(_MAGIC)):
        raise SegmentDamaged("it is not a segment: it is not a Parquet file")
    size = int.from_bytes(data[-_END : -len(_MAGIC)], "little")
    if size > metadata_limit():
        raise too_large(f"its metadata has {size:,} bytes, of {metadata_limit():,} at most")


def _check_columns(file: pq.ParquetFile) -> None:
    schema = file.schema_arrow
    expected = arrow.STORED
    if schema.names != expected.names:
        raise SegmentDamaged("it has not the columns of a segment")
    for field, right in zip(schema, expected, strict=True):
        if not field.remove_metadata().equals(right):
            raise SegmentDamaged(f"column {field.name} is {_described(field)}, not {_described(right)}")
    if set(file.metadata.metadata or ()) != {INFO_KEY, DIGEST_KEY}:
        raise SegmentDamaged("it is not a segment: it has other metadata than a segment")


def _described(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"


def _check_column(data: bytes, column: pq.ColumnChunkMetaData, rows: int) -> None:
    """Checks what the pages of a column in a row group say of themselves."""
    name = column.path_in_schema
    start = column.data_page_offset
    if column.has_dictionary_page:
        start = min(start, column.dictionary_page_offset)
    end = start + column.total_compressed_size
    if (
        column.compression != "ZSTD"
        or column.num_values != rows
        or not len(_MAGIC) <= start <= end <= len(data)
    ):
        raise SegmentDamaged(f"column {name} is not as segments are written")
    size = values = 0
    for page in pages(data, start, end):
        if page.encoding not in _ENCODINGS.get(page.kind, ()):
            raise SegmentDamaged(f"column {name} has a page of an unknown kind or encoding")
        if page.kind == DICTIONARY_PAGE and page.values > max(rows, len(KINDS)):
            raise SegmentDamaged(f"column {name} has a dictionary with more values than rows")
        size += page.header + page.uncompressed
        values += page.values if page.kind == DATA_PAGE else 0
        if size > segment_limit():
            raise too_large(f"column {name} takes {size:,} bytes or more")
    if values != rows or size != column.total_uncompressed_size:
        raise SegmentDamaged(f"the pages of column {name} are not what the footer says")


def read_group(file: pq.ParquetFile, group: int) -> pa.Table:
    """Returns the rows of a row group, with texts as dictionaries; raises what Arrow raises."""
    return file.read_row_group(group, use_threads=False)


def plain(table: pa.Table) -> pa.Table:
    """Returns rows with the texts of their values as plain strings; `read_group` has them as a dictionary."""
    position = table.schema.get_field_index("value_text")
    return table.set_column(position, "value_text", table.column(position).cast(pa.string()))


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turns what Arrow raises about bytes that are not what it expects into `SegmentDamaged`."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, RecursionError) as exc:
        raise SegmentDamaged(f"{what} cannot be decoded: {exc}") from exc
