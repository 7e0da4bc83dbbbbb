"""How much one object of a store may take: the bound that everything read from it is held to.

A file of 7 kB can say that it takes 4 GB in memory, and a server can send without end. So sizes are compared
with one limit before anything is read or decoded: of the object itself, of all its values in memory, and
parts of it for the metadata.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from asyncrestore.errors import SegmentDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SEGMENT_BYTES = 128 << 20
"""The limit unless another one is set: 128 MiB.

`backup` ends a segment at a weight of 131,072, which is less than 60 MB of the widest texts, unless a single
transaction is larger; `compact` makes segments of at most twice that.
"""

LEAST_SEGMENT_BYTES = 1 << 20
"""The least limit that can be set."""

MAX_REASON_BYTES = 64 << 10
"""How large an object may be that is no segment: why one was put aside, or which backup this is."""

_ENVELOPE_BYTES = 68 << 10
"""By how much encryption may lengthen an object: a wrapped key of up to 64 kB, and some digests."""

_limit = ContextVar("max_segment_bytes", default=MAX_SEGMENT_BYTES)


@contextmanager
def max_segment_bytes(limit: int) -> Iterator[None]:
    """Sets the limit in bytes for the context, and for the tasks and threads that are started in it."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def segment_limit() -> int:
    """Returns how many bytes a segment may take, as it is stored and in memory."""
    return _limit.get()


def object_limit() -> int:
    """Returns how many bytes an object may have: a segment, which may be encrypted."""
    return _limit.get() + _ENVELOPE_BYTES


def metadata_limit() -> int:
    """Returns how many bytes a segment's metadata may have as it is stored."""
    return _limit.get() >> 5


def schema_limit() -> int:
    """Returns how many bytes the schema in a segment's metadata may have as JSON."""
    return _limit.get() >> 5


def check_object_size(where: str, size: int) -> None:
    """Makes sure that an object of `size` bytes may be read.

    Raises:
        SegmentDamaged: it is larger than any segment may be.
    """
    if size > object_limit():
        raise too_large(f"{where} has {size:,} bytes or more")


def too_large(what: str) -> SegmentDamaged:
    """Returns the error for what is above the limit; `what` says what and how large it is."""
    return SegmentDamaged(
        f"{what}, and a segment may take {segment_limit():,} bytes",
        hint="A backup writes such a segment only for a huge transaction. If this is one, raise the limit: "
        "`max_segment_bytes`. Otherwise run repair with the source.",
    )
