"""Reads values in Thrift's compact protocol, in which Parquet writes its footer and the headers of pages."""

from __future__ import annotations

from typing import Any

from asyncrestore.errors import SegmentDamaged

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _STRUCT = (*range(1, 10), 12)
_INTEGERS = frozenset({_I16, _I32, _I64})
_LONGEST_VARINT = 10
_DEEPEST = 12
_LONG_LIST = 15
_MORE = 128
"""The bit of a byte that says that the number goes on."""


class Thrift:
    """Reads structs out of bytes; refuses more values than a budget, and deep nesting.

    Args:
        data: has the structs.
        position: where the next one begins.
        end: they end before this.
        budget: how many values may be read.

    Attributes:
        position: of the next byte.
    """

    def __init__(self, data: bytes, position: int, end: int, budget: int) -> None:
        self._data = data
        self.position = position
        self._end = end
        self._left = budget

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Returns the fields of a struct by number.

        A value is an integer, bytes, or a list or struct of these.

        Raises:
            SegmentDamaged: there is no struct, or one that is too large.
        """
        found: dict[int, Any] = {}
        number = 0
        while True:
            head = self._byte()
            if head == 0:
                return found
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            if number in found:
                raise SegmentDamaged("its metadata has a field twice")
            type_ = head & 15
            found[number] = type_ == _TRUE if type_ in {_TRUE, _FALSE} else self._value(type_, depth)

    def _value(self, type_: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise SegmentDamaged("its metadata has too many values, or is nested too deep")
        if type_ in _INTEGERS:
            return self._zigzag()
        if type_ == _BINARY:
            return self._bytes(self._varint())
        if type_ == _STRUCT:
            return self.struct(depth + 1)
        if type_ == _LIST:
            return self._list(depth + 1)
        if type_ in {_TRUE, _FALSE, _BYTE}:
            return self._byte()
        raise SegmentDamaged("its metadata has a value of an unknown type")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = head >> 4
        if size == _LONG_LIST:
            size = self._varint()
        if size > self._left:
            raise SegmentDamaged("its metadata has too many values")
        return [self._value(head & 15, depth) for _ in range(size)]

    def _bytes(self, length: int) -> bytes:
        start = self.position
        self.position += length
        if self.position > self._end:
            raise SegmentDamaged("its metadata is cut off")
        return self._data[start : self.position]

    def _byte(self) -> int:
        position = self.position
        if position >= self._end:
            raise SegmentDamaged("its metadata is cut off")
        self.position = position + 1
        return self._data[position]

    def _varint(self) -> int:
        byte = self._byte()
        number, shift = byte & 127, 0
        while byte & _MORE:
            shift += 7
            if shift >= 7 * _LONGEST_VARINT:
                raise SegmentDamaged("its metadata has too long a number")
            byte = self._byte()
            number |= (byte & 127) << shift
        return number

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
