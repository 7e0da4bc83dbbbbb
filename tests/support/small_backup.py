"""A small backup that needs no database: three segments of made-up transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.model.log import LogChunk, t_to_tx
from asyncrestore.model.schema import Attribute, Schema
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.segments.lineage import digest_of
from asyncrestore.segments.segment import last_before
from tests.support.altered import chunk_of

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.segments.lineage import Lineage

BASE = {
    10: "db/ident",
    23: "db.type/string",
    40: "db/valueType",
    41: "db/cardinality",
    42: "db/unique",
    50: "db/txInstant",
}
RANGES = (SegmentRange(0, 10), SegmentRange(10, 20), SegmentRange(20, 25))


def schema() -> Schema:
    return Schema(
        dict(BASE),
        {50: Attribute("db/txInstant", "db.type/instant"), 73: Attribute("artist/name", "db.type/string")},
    )


def transaction(t: int, name: str = "name") -> LogChunk:
    tx = t_to_tx(t)
    return chunk_of([(tx, (tx, 50, "i", t, True)), (tx, (1000 + t, 73, "s", f"{name} {t}", True))])


def log(start: int, end: int, *, name: str = "name", fork_t: int = 0) -> LogChunk:
    """A transaction for each t from 6 on; those before `fork_t` are the same whatever the name."""
    names = {t: name if t >= fork_t else "name" for t in range(max(start, 6), end)}
    return LogChunk.join([transaction(t, each) for t, each in names.items()])


def segment(
    range_: SegmentRange,
    source: str = "a-source",
    *,
    name: str = "name",
    fork_t: int = 0,
    lineage: Lineage | None = None,
) -> bytes:
    """A segment of such a log; with a lineage it also names the transaction that it follows."""
    before = last_before([log(0, range_.start, name=name, fork_t=fork_t)], range_.start)
    rows = log(range_.start, range_.end, name=name, fork_t=fork_t)
    return encode(
        [rows] if rows else [],
        range_,
        source=source,
        name="db",
        bootstrap_t=5,
        schema=schema(),
        lineage=lineage,
        previous=digest_of(before) if before and lineage else None,
    )


def objects(source: str = "a-source", ranges: tuple[SegmentRange, ...] = RANGES) -> dict[str, bytes]:
    """Such a backup by key."""
    return {range_.key: segment(range_, source) for range_ in ranges}


def write(store: Path) -> Path:
    """Writes such a backup, `db`, into a directory that does not exist yet; returns the directory."""
    (store / "db").mkdir(parents=True)
    for key, data in objects().items():
        (store / "db" / key).write_bytes(data)
    return store
