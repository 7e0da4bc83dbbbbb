"""Compact: merges the small segments of frequent backups into larger ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.catalog import find_backup, publish_segment
from asyncrestore.errors import Conflict, UsageError
from asyncrestore.history import PAGE_WEIGHT
from asyncrestore.jobs.backup import SEGMENT_TRANSACTIONS, SEGMENT_WEIGHT
from asyncrestore.model import LogChunk, t_to_tx
from asyncrestore.opening import as_store
from asyncrestore.progress import Progress
from asyncrestore.schema import Schema
from asyncrestore.segment import SegmentRange, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncrestore.catalog import Backup, StoredSegment
    from asyncrestore.opening import AnyStore
    from asyncrestore.progress import OnProgress
    from asyncrestore.segment import Segment, SegmentInfo
    from asyncrestore.stores.encrypted import Encryption


@dataclass(slots=True)
class CompactReport:
    """What a compaction did.

    Attributes:
        store: the store's URI.
        name: of the backup.
        before: how many segments were read to restore it.
        after: how many are now.
        segments: the ranges of the new ones.
        bytes: their size.
        superseded: keys of segments that nobody reads any more; `delete` removes them.
        seconds: how long it took.
    """

    store: str
    name: str
    before: int
    after: int = 0
    segments: list[SegmentRange] = field(default_factory=list)
    bytes: int = 0
    superseded: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def compact(
    store: AnyStore,
    *,
    name: str | None = None,
    segment_size: int = SEGMENT_TRANSACTIONS,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> CompactReport:
    """Merges neighbouring segments, up to `segment_size` t and 131,072 datoms in one.

    The small ones stay until they are deleted (`delete` with `superseded`): whoever has listed the store
    before goes on reading them, and whoever lists it later reads the large ones, which cover as much. So it
    may be killed at any moment, and run beside backups and restores.

    Args:
        store: a store, open or as a URI.
        name: of the backup, where the store holds several.
        segment_size: how many t a segment covers at most; they are cut at its multiples, as by `backup`.
        encryption: the store's key, 32 bytes or a `KmsKey`; without it the segments are not encrypted.
        on_progress: is told the watermarks.

    Raises:
        NotFound: there is no such backup. UsageError: a URI or number is wrong, or a name is needed.
        SegmentDamaged: a segment that was to be merged cannot be used; those merged before it stay.
        Conflict: two neighbours are of different databases.
        StoreFailed, NotAuthorized: the store cannot be written.
    """
    if segment_size < 1:
        raise UsageError("segment_size must be at least 1")
    started = monotonic()
    async with as_store(store, encryption) as opened:
        backup = await find_backup(opened, name)
        report = CompactReport(opened.uri, backup.name, len(backup.chain()))
        progress = Progress(start_t=0, end_t=backup.end)
        for run in _runs(backup.chain(), segment_size):
            await _merge(backup, run, report)
            progress.committed_t = run[-1].range.end
            (on_progress or (lambda _: None))(progress)
        now = await find_backup(opened, backup.name)
        report.after, report.superseded = len(now.chain()), [each.key for each in now.superseded()]
        report.segments.sort()
    report.seconds = monotonic() - started
    return report


def _runs(chain: Iterable[StoredSegment], size: int) -> Iterator[list[StoredSegment]]:
    """Neighbours without a gap between them, two or more, that lie between two multiples of `size`."""
    run: list[StoredSegment] = []
    for stored in chain:
        if run and not (
            stored.range.start <= run[-1].range.end
            and (stored.range.end - 1) // size == run[0].range.start // size
        ):
            if len(run) > 1:
                yield run
            run = []
        run.append(stored)
    if len(run) > 1:
        yield run


async def _merge(backup: Backup, run: list[StoredSegment], report: CompactReport) -> None:
    """Merges as many of them at a time as fit into a segment."""
    merging: _Merging | None = None
    for stored in run:
        segment = await backup.read(stored)
        if merging is not None and not merging.has_room(segment.info):
            await _publish(backup, merging, report)
            merging = None
        if merging is None:
            merging = _Merging(segment.info)
        await to_thread.run_sync(merging.add, segment)
    if merging is not None:
        await _publish(backup, merging, report)


async def _publish(backup: Backup, merging: _Merging, report: CompactReport) -> None:
    if merging.segments > 1:
        range_, data = await to_thread.run_sync(merging.encode)
        if await publish_segment(backup, range_, data):
            report.segments.append(range_)
            report.bytes += len(data)


class _Merging:
    """Segments that are to be one.

    Args:
        first: what the first of them says of itself.
    """

    def __init__(self, first: SegmentInfo) -> None:
        self._first = first
        self._end = first.start
        self._weight = 0
        self._chunks: list[LogChunk] = []
        self.segments = 0

    def has_room(self, info: SegmentInfo) -> bool:
        """Whether one more fits in, as far as its number of datoms tells."""
        return self._weight + info.datoms <= SEGMENT_WEIGHT

    def add(self, segment: Segment) -> None:
        """Adds the next segment, but for what those before it hold already."""
        info = segment.info
        if info.source != self._first.source:
            raise Conflict(
                f"{info.range.key} is of another database ({info.source}) than its neighbour "
                f"({self._first.source})",
                hint="Run repair with the source.",
            )
        for chunk in segment.chunks():
            wanted = chunk.after(t_to_tx(self._end) - 1)
            if wanted:
                self._chunks.append(wanted)
                self._weight += wanted.weight
        self._end = info.end
        self.segments += 1

    def encode(self) -> tuple[SegmentRange, bytes]:
        """All of them as one segment, read back and compared."""
        first = self._first
        range_ = SegmentRange(first.start, self._end)
        data = encode(
            list(_pages(self._chunks)),
            range_,
            source=first.source,
            name=first.name,
            bootstrap_t=first.bootstrap_t,
            schema=Schema.from_json(first.schema),
        )
        return range_, data


def _pages(chunks: Iterable[LogChunk]) -> Iterator[LogChunk]:
    """The same in chunks of the usual size: a row group for each small segment would be many."""
    page: list[LogChunk] = []
    for chunk in chunks:
        page.append(chunk)
        if sum(chunk.weight for chunk in page) >= PAGE_WEIGHT:
            yield LogChunk.join(page)
            page = []
    if page:
        yield LogChunk.join(page)
