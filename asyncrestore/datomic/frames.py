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

from asyncrestore.model.log import LogChunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LENGTH = struct.Struct(">I")
_MAX_FRAME = 1 << 29
"""No real frame comes near this size. Text among the frames, if a JVM prints some, reads as a larger one."""

# One reader for all: without registered handlers it is the native decoder, which has no state.
_reader = Reader("msgpack")


class _Encoder(threading.local):
    """A writer and its buffer. Each thread has its own, as each may run an event loop with bridges.

    Making a writer takes 0.2 ms: it looks for a package that the native encoder does not need.
    """

    def __init__(self) -> None:
        self.written = io.BytesIO()
        self.writer = Writer(self.written, "msgpack")


_encoder = _Encoder()


def keyword(name: str) -> Any:
    """Returns a keyword as the pipe carries it; `name` is without the colon."""
    return Keyword(name)


def encode(value: Any) -> bytes:
    """Returns a value as a frame."""
    written = _encoder.written
    written.seek(0)
    written.truncate()
    _encoder.writer.write(value)
    payload = written.getvalue()
    return _LENGTH.pack(len(payload)) + payload


class FrameBuffer:
    """Collects bytes as they arrive, and yields the values of the frames that are complete."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Adds bytes and yields each value that they complete.

        Raises:
            ValueError: the next bytes are not a frame.
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
    """Returns integers as base64 text of little-endian 64-bit numbers."""
    column = array("q", numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return base64.b64encode(column).decode("ascii")


def unpack(text: str) -> array[int]:
    """Returns the integers in a text from `pack`."""
    column = array("q", base64.b64decode(text))
    if sys.byteorder == "big":
        column.byteswap()
    return column


def log_chunk(columns: tuple[Any, ...]) -> LogChunk:
    """Returns a chunk of the log from the bridge's columns (see `jvm/asyncrestore/logs.clj`)."""
    _, txs, es, attributes, numbers, kinds, added, texts = columns
    return LogChunk(unpack(txs), unpack(es), unpack(attributes), unpack(numbers), kinds, added, list(texts))
