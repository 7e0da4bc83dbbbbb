"""What reading a segment comes to: it is damage, or all that a restore and a query do with it works."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from asyncrestore.datomic import frames
from asyncrestore.datomic.transactions import batch_columns
from asyncrestore.errors import DamageError, SegmentDamaged
from asyncrestore.excision.requests import read_for, requests_in
from asyncrestore.jobs import views
from asyncrestore.model.ids import IdCache, SeenIds
from asyncrestore.model.log import t_to_tx
from asyncrestore.model.state import State
from asyncrestore.model.values import to_python
from asyncrestore.pipeline.resolve import Resolver
from asyncrestore.segments.segment import Segment
from tests.support import forged

if TYPE_CHECKING:
    from asyncrestore.model.log import LogChunk
    from asyncrestore.model.schema import Schema

WHOLE, DAMAGED = "whole", "damaged"


class PassedByVerifyOnly(Exception):
    """A segment that verify passes, and a restore refuses."""


def outcome(data: bytes) -> str:
    """Reads a segment as verify does, and if it is whole as restore, repair and query do.

    Raises:
        PassedByVerifyOnly: verify passes it, and a restore refuses it as damage.
        Exception: anything else, which is a fault of the reader.
    """
    try:
        segment = Segment(data)
        segment.check_rows()
    except SegmentDamaged:
        return DAMAGED
    own = segment.schema()
    schema = own or forged.schema()
    chunks = [segment.chunk(group) for group in range(segment.groups)]
    try:
        for chunk in chunks:
            _restore(segment, chunk, schema)
    except DamageError as exc:
        # What attributes there are is not known of a segment that does not hold them.
        if own is not None:
            raise PassedByVerifyOnly(str(exc)) from exc
    _query(segment)
    segment.schema_changes()
    names = read_for(segment.base.base)
    requests_in(segment.some(names).rows(), segment.base.base)
    for chunk in chunks:
        for _, _, kind, raw, _ in chunk.datoms():
            to_python(kind, raw)
    return WHOLE


def _restore(segment: Segment, chunk: LogChunk, schema: Schema) -> None:
    bootstrap_tx = t_to_tx(segment.info.bootstrap_t)
    state = State(schema, SeenIds())
    state.advance(chunk, bootstrap_tx)
    own = chunk.after(bootstrap_tx)
    resolver = Resolver(state, IdCache(4096), bootstrap_tx, 0)
    for transaction in own.transactions():
        transaction.instant(resolver.schema.id_of("db/txInstant"))
        frames.encode(batch_columns([resolver.resolve(transaction)]))


def _query(segment: Segment) -> None:
    tx_instant = segment.base.id_of("db/txInstant")
    rows = views.rows(segment.table(), 0, tx_instant, frozenset())
    with suppress(StopIteration):
        next(iter(rows.to_batches())).validate(full=True)
