"""Reads the headers of a Parquet file's pages, to know how much they take before anything is decompressed.

The footer of a file says how large its columns are, but readers believe the header of each page: a page of a
few bytes can claim 2 GB. A header is a struct of Thrift's compact protocol; of its fields these count:

    1 type · 2 size uncompressed · 3 size compressed · 5 or 7 {1 number of values · 2 encoding}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import SegmentDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA_PAGE, DICTIONARY_PAGE = 0, 2
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8

_TRUE, _FALSE, _I16, _I32, _I64, _BINARY, _STRUCT = 1, 2, 4, 5, 6, 8, 12
_LONGEST_VARINT = 10
_MOST_FIELDS = 16
_DEPTH = 3
"""A header has a struct, which has another one: the statistics of the page."""


@dataclass(frozen=True, slots=True)
class Page:
    """The header of a page.

    Attributes:
        kind: `DATA_PAGE`, `DICTIONARY_PAGE` or another number.
        header: size of the header, in bytes.
        uncompressed: size of the content in memory, in bytes.
        compressed: size of the content in the file, in bytes.
        values: how many values it has, nulls too.
        encoding: `PLAIN`, `RLE_DICTIONARY` or another number.
    """

    kind: int
    header: int
    uncompressed: int
    compressed: int
    values: int
    encoding: int


def pages(data: bytes, start: int, end: int) -> Iterator[Page]:
    """Yields the pages in a range of a file, which they fill.

    Raises:
        SegmentDamaged: they do not: a header cannot be read, or a page goes beyond the range.
    """
    while start < end:
        page = _page(data, start, end)
        start += page.header + page.compressed
        if start > end:
            raise SegmentDamaged("a page goes beyond its column")
        yield page


def _page(data: bytes, start: int, end: int) -> Page:
    reader = _Thrift(data, start, end)
    header = reader.struct(_DEPTH)
    values = header.get(5, header.get(7))
    try:
        if not isinstance(values, dict):
            raise SegmentDamaged("a page is neither of data nor a dictionary")
        page = Page(
            kind=_number(header[1]),
            header=reader.position - start,
            uncompressed=_number(header[2]),
            compressed=_number(header[3]),
            values=_number(values[1]),
            encoding=_number(values[2]),
        )
    except KeyError as exc:
        raise SegmentDamaged("the header of a page lacks a field") from exc
    if min(page.uncompressed, page.compressed, page.values) < 0:
        raise SegmentDamaged("a page has a negative size")
    return page


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise SegmentDamaged("the header of a page has a field of another type")
    return value


class _Thrift:
    """Reads a struct in Thrift's compact protocol.

    Attributes:
        position: of the next byte.
    """

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self._data = data
        self.position = position
        self._end = end

    def struct(self, depth: int) -> dict[int, Any]:
        """Returns the fields of a struct by number: integers, lengths of texts, and structs."""
        if depth == 0:
            raise SegmentDamaged("the header of a page is nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            delta, type_ = head >> 4, head & 15
            number = number + delta if delta else self._zigzag()
            if number in found or len(found) == _MOST_FIELDS:
                raise SegmentDamaged("the header of a page has a field twice, or too many")
            found[number] = self._value(type_, depth)
        return found

    def _value(self, type_: int, depth: int) -> Any:
        if type_ in {_TRUE, _FALSE}:
            return int(type_ == _TRUE)
        if type_ in {_I16, _I32, _I64}:
            return self._zigzag()
        if type_ == _BINARY:
            length = self._varint()
            self.position += length
            return length
        if type_ == _STRUCT:
            return self.struct(depth - 1)
        raise SegmentDamaged("the header of a page has a field of an unknown type")

    def _byte(self) -> int:
        if self.position >= self._end:
            raise SegmentDamaged("the header of a page is cut off")
        self.position += 1
        return self._data[self.position - 1]

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 7 * _LONGEST_VARINT, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise SegmentDamaged("the header of a page has too long a number")

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
