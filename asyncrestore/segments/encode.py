"""Makes a segment out of the chunks of a log, and reads it back to prove that nothing is lost."""

from __future__ import annotations

from itertools import islice
from operator import ge
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import DamageError, SegmentDamaged
from asyncrestore.model.ids import SeenIds
from asyncrestore.model.log import LogChunk, tx_to_t
from asyncrestore.model.schema import Schema, snapshot_digest
from asyncrestore.segments import arrow
from asyncrestore.segments.document import (
    FORMAT,
    SegmentInfo,
    SegmentRange,
    write_document,
)
from asyncrestore.segments.file import write_file
from asyncrestore.segments.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.segments.lineage import Lineage


def encode(
    chunks: Sequence[LogChunk],
    range_: SegmentRange,
    *,
    source: str,
    name: str,
    bootstrap_t: int,
    schema: Schema,
    last_excision_t: int | None = -1,
    lineage: Lineage | None = None,
    previous: str | None = None,
) -> bytes:
    """Makes a segment's bytes, and reads them back to prove that nothing is lost.

    Args:
        chunks: the transactions in order; each chunk has whole transactions.
        range_: what the segment covers.
        source: identity of the source database.
        name: name of the source database.
        bootstrap_t: t of the source's last bootstrap transaction.
        schema: as of before the range, and moved on to after it.
        last_excision_t: see `SegmentInfo`.
        lineage: the backup that it belongs to.
        previous: see `SegmentInfo`.

    Raises:
        DamageError: what was read back differs from `chunks`, or these are not in order or not in the range.
    """
    snapshot = schema.to_json()
    schema_sha256 = snapshot_digest(snapshot)
    seen = SeenIds()
    txs: list[int] = []
    tables = []
    for chunk in chunks:
        txs += chunk.txs()
        table = arrow.to_table(chunk, schema)
        seen.merge(arrow.largest(table.column("e").combine_chunks()))
        tables.append(table)
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
        schema_sha256=schema_sha256,
        last_excision_t=last_excision_t,
        backup=lineage.backup if lineage else None,
        since=lineage.since if lineage else None,
        previous=previous,
    )
    if info.start > 0 and info.datoms < len(snapshot["attributes"]):
        snapshot = {"base": snapshot["base"]}
    data = write_file(tables, write_document(info, snapshot))
    _check_reads_back(data, info, snapshot, [chunk for chunk in chunks if len(chunk)])
    return data


def _check_reads_back(
    data: bytes, info: SegmentInfo, snapshot: dict[str, Any], chunks: list[LogChunk]
) -> None:
    segment = f"Segment {info.range.key} of {info.name}"
    try:
        written = Segment(data)
        same = (written.info, written.snapshot, list(written.chunks())) == (info, snapshot, chunks)
    except SegmentDamaged as exc:
        raise DamageError(
            f"{segment} would be refused when it is read, and was not published: {exc}", hint=exc.hint
        ) from exc
    if not same:
        raise DamageError(f"{segment} does not read back as it was written; it was not published")


def _check_order(txs: list[int], range_: SegmentRange) -> None:
    in_range = not txs or range_.start <= tx_to_t(txs[0]) <= tx_to_t(txs[-1]) < range_.end
    if not in_range or any(map(ge, txs, islice(txs, 1, None))):
        raise DamageError(
            f"The log has transactions out of order or outside of t {range_.start} to {range_.end - 1}",
            hint="Run the backup again; if this persists, the source itself needs attention.",
        )
