"""Frames on the pipe to the bridge: four bytes of length, big-endian, then a value in Transit (MessagePack).

The other end is `jvm/asyncrestore/frames.clj`.
"""

from __future__ import annotations

import base64
import io
import struct
import sys
import threading
from array import array
from typing import TYPE_CHECKING, Any

from transit.reader import Reader
from transit.transit_types import Keyword
from transit.writer import Writer

from asyncrestore.model import LogChunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LENGTH = struct.Struct(">I")
_MAX_FRAME = 1 << 29
"""No honest frame comes near, and any text among the frames (a JVM that was told to print) looks larger."""

# One reader for all: as long as no handler is registered it is the native decoder without state.
_reader = Reader("msgpack")


class _Encoder(threading.local):
    """A writer and what it has written. One a thread, for each may have an event loop with bridges.

    To make one takes 0.2 ms, to look for a package that the native encoder does without.
    """

    def __init__(self) -> None:
        self.written = io.BytesIO()
        self.writer = Writer(self.written, "msgpack")


_encoder = _Encoder()


def keyword(name: str) -> Any:
    """A keyword as the pipe carries it; `name` is without the colon."""
    return Keyword(name)


def encode(value: Any) -> bytes:
    """One value as a frame."""
    written = _encoder.written
    written.seek(0)
    written.truncate()
    _encoder.writer.write(value)
    payload = written.getvalue()
    return _LENGTH.pack(len(payload)) + payload


class FrameBuffer:
    """Takes bytes as they arrive and gives back the values of the frames that are whole."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Adds bytes; yields each value that they complete.

        Raises:
            ValueError: what comes next is no frame.
        """
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._bytes)
            if size > _MAX_FRAME:
                raise ValueError(f"not a frame: {bytes(self._bytes[:60])!r}")
            end = _LENGTH.size + size
            if len(self._bytes) < end:
                return
            frame = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield _reader.read(io.BytesIO(frame))


def pack(numbers: Iterable[int]) -> str:
    """Integers as base64 text of little-endian 64-bit numbers."""
    column = array("q", numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return base64.b64encode(column).decode("ascii")


def unpack(text: str) -> array[int]:
    """The opposite of `pack`."""
    column = array("q", base64.b64decode(text))
    if sys.byteorder == "big":
        column.byteswap()
    return column


def log_chunk(columns: tuple[Any, ...]) -> LogChunk:
    """A chunk of the log from the bridge's columns (see `jvm/asyncrestore/logs.clj`)."""
    _, txs, es, attributes, numbers, kinds, added, texts = columns
    return LogChunk(unpack(txs), unpack(es), unpack(attributes), unpack(numbers), kinds, added, list(texts))
