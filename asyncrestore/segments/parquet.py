"""What a segment's Parquet file says of itself: its footer and the headers of its pages, read strictly.

They are read here and not by Arrow, for two reasons. Arrow believes the header of each page, of which a few
bytes can claim 2 GB. And some of what a footer may hold, such as an unknown codec, ends the process.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from asyncrestore.errors import SegmentDamaged
from asyncrestore.limits import metadata_limit, segment_limit, too_large
from asyncrestore.model.values import KINDS
from asyncrestore.segments import arrow
from asyncrestore.segments.document import refuse_newer
from asyncrestore.segments.seal import DIGEST_KEY, MAC_KEY
from asyncrestore.segments.thrift import Thrift

if TYPE_CHECKING:
    from collections.abc import Iterator

INFO_KEY = b"asyncrestore"

ROW_BYTES = 96
"""What a row takes in memory without its text: 14 columns, and the bits that say which are null."""

LONGEST_LIST = 512
"""Of anything in the footer. A segment has 14 columns, and fewer than 100 row groups."""

_MAGIC = b"PAR1"
_END = 8
"""A file ends with the length of its footer, in four bytes, and the magic bytes."""

_MOST_VALUES = 400_000
"""In a footer: each column of a row group has about 40."""

_MOST_IN_HEADER = 32
_ZSTD = 6
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_PLAIN, _RLE, _RLE_DICTIONARY = 0, 3, 8
_ENCODINGS = {_DATA_PAGE: {_PLAIN, _RLE, _RLE_DICTIONARY}, _DICTIONARY_PAGE: {_PLAIN}}
"""The encodings of each kind of page. Others can make much of a few bytes."""

_PHYSICAL = {"bool": 0, "int64": 2, "timestamp[ms, tz=UTC]": 2, "float": 4, "double": 5, "string": 6}
"""Parquet's number of a type, by Arrow's name of a column's type."""


def _stored(field: pa.Field) -> tuple[bytes, int, int]:
    type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return field.name.encode(), _PHYSICAL[str(type_)], int(field.nullable)


_COLUMNS = [_stored(field) for field in arrow.SCHEMA]


def check_file(data: bytes) -> bytes:
    """Checks the structure of a segment's file; returns the document in its metadata.

    Raises:
        SegmentDamaged: it is not such a file, or would take more memory than the limit allows.
        NewerFormat: the same, and its document says that a newer program wrote it.
    """
    footer = _footer(data)
    try:
        return _checked(data, footer)
    except SegmentDamaged:
        # A newer format may have other columns. Taken for damage, it would be put aside by a repair.
        refuse_newer(_document(footer))
        raise


def _document(footer: dict[int, Any]) -> bytes:
    """Returns the document in the metadata of a footer that may be of any shape; nothing if there is none."""
    with suppress(AttributeError, LookupError, TypeError):
        texts = [pair[2] for pair in footer[5] if pair[1] == INFO_KEY]
        return next(text for text in [*texts, b""] if isinstance(text, bytes))
    return b""


def _checked(data: bytes, footer: dict[int, Any]) -> bytes:
    """Checks the structure of a file with that footer; returns the document in its metadata."""
    try:
        _check_columns(footer[2])
        rows = 0
        for group in footer[4]:
            rows += _integer(group[3])
            if group[3] <= 0:
                raise SegmentDamaged("a row group is empty")
            if rows * ROW_BYTES > segment_limit():
                raise too_large(f"its {rows:,} rows or more take {rows * ROW_BYTES:,} bytes or more")
            _check_group(data, group)
        if rows != footer[3]:
            raise SegmentDamaged("its row groups have not as many rows as it has")
        texts = {pair[1]: pair[2] for pair in footer[5]}
        # Older segments have no place for a MAC.
        if texts.keys() - {MAC_KEY} != {INFO_KEY, DIGEST_KEY} or len(footer[5]) != len(texts):
            raise SegmentDamaged("it has other metadata than a segment")
        document = texts[INFO_KEY]
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        raise SegmentDamaged(f"its footer lacks a field, or has one of another type: {exc}") from exc
    if not isinstance(document, bytes):
        raise SegmentDamaged("its metadata is not text")
    return document


def _footer(data: bytes) -> dict[int, Any]:
    if len(data) > segment_limit():
        raise too_large(f"it has {len(data):,} bytes")
    if not (len(data) > 2 * _END and data.startswith(_MAGIC) and data.endswith(_MAGIC)):
        raise SegmentDamaged("it is not a segment: it is not a Parquet file")
    size = int.from_bytes(data[-_END : -len(_MAGIC)], "little")
    if size > metadata_limit():
        raise too_large(f"its metadata has {size:,} bytes, of {metadata_limit():,} at most")
    end = len(data) - _END
    if size > end:
        raise SegmentDamaged("its footer is cut off")
    reader = Thrift(data, end - size, end, _MOST_VALUES)
    footer = reader.struct()
    if reader.position != end:
        raise SegmentDamaged("its footer ends early")
    return footer


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a number is none")
    return value


def _check_columns(elements: list[dict[int, Any]]) -> None:
    root, *columns = elements
    if root.get(5) != len(columns) or [(e.get(4), e.get(1), e.get(3)) for e in columns] != _COLUMNS:
        raise SegmentDamaged("it has not the columns of a segment")
    if any(5 in column or 2 in column for column in columns):  # children, a length
        raise SegmentDamaged("a column has other columns in it")


def _check_group(data: bytes, group: dict[int, Any]) -> None:
    columns = [chunk[3] for chunk in group[1]]
    if [column[3] for column in columns] != [[name] for name, *_ in _COLUMNS]:
        raise SegmentDamaged("a row group has not the columns of a segment")
    for chunk, (name, type_, _) in zip(group[1], _COLUMNS, strict=True):
        if not chunk.keys() <= {2, 3} or chunk[3][1] != type_ or chunk[3][4] != _ZSTD:
            raise SegmentDamaged(f"column {name.decode()} is not as segments are written")
        _check_pages(data, name.decode(), chunk[3], group[3])


def _check_pages(data: bytes, name: str, column: dict[int, Any], rows: int) -> None:
    """Checks what the pages of a column in a row group say of themselves."""
    start = _integer(column[9])
    dictionary = column.get(11)
    if dictionary is not None:
        start = min(start, _integer(dictionary))
    end = start + _integer(column[7])
    if column[5] != rows or not len(_MAGIC) <= start <= end <= len(data):
        raise SegmentDamaged(f"column {name} is not as segments are written")
    size = values = 0
    for number, (kind, whole, count) in enumerate(_pages(data, start, end)):
        if kind == _DICTIONARY_PAGE and (number or dictionary is None or count > max(rows, len(KINDS))):
            raise SegmentDamaged(f"column {name} has a dictionary that is out of place, or too large")
        size += whole
        values += count if kind == _DATA_PAGE else 0
        if size > segment_limit():
            raise too_large(f"column {name} takes {size:,} bytes or more")
    if values != rows or size != column[6]:
        raise SegmentDamaged(f"the pages of column {name} are not what the footer says")


def _pages(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields kind, size in memory with the header, and number of values of the pages that fill a range.

    The fields of a header: 1 kind, 2 size in memory, 3 size in the file, 5 or 7 {1 number of values,
    2 encoding}.
    """
    while start < end:
        reader = Thrift(data, start, end, _MOST_IN_HEADER)
        header = reader.struct()
        kind = header[1]
        about = header[5 if kind == _DATA_PAGE else 7]
        if about[2] not in _ENCODINGS.get(kind, ()):
            raise SegmentDamaged("a page is of an unknown kind or encoding")
        memory, compressed, values = _integer(header[2]), _integer(header[3]), _integer(about[1])
        if min(memory, compressed, values) < 0:
            raise SegmentDamaged("a page has a negative size")
        yield kind, reader.position - start + memory, values
        start = reader.position + compressed
    if start != end:
        raise SegmentDamaged("a page goes beyond its column")
