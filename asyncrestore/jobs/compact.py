"""Compact: merges the small segments of frequent backups into larger ones."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import Conflict, DamageError
from asyncrestore.history.backup_json import read_backup_json
from asyncrestore.history.base import PAGE_WEIGHT
from asyncrestore.history.catalog import SEGMENTS_AT_ONCE, find_backup, publish_segment
from asyncrestore.history.stored_schema import StoredSchema
from asyncrestore.jobs.arguments import integers, texts
from asyncrestore.jobs.backup import SEGMENT_TRANSACTIONS, SEGMENT_WEIGHT
from asyncrestore.jobs.opening import as_store
from asyncrestore.model.log import LogChunk, t_to_tx
from asyncrestore.progress import Progress
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.segments.lineage import Lineage, OneBackup, digest_of
from asyncrestore.segments.segment import last_before
from asyncrestore.tasks import each

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.jobs.opening import AnyStore
    from asyncrestore.model.schema import Schema
    from asyncrestore.progress import OnProgress
    from asyncrestore.segments.document import SegmentInfo
    from asyncrestore.segments.segment import Segment
    from asyncrestore.stores.encrypted import Encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did.

    Attributes:
        store: the store's URI.
        name: name of the backup.
        before: how many segments a restore had to read before.
        after: how many segments a restore has to read now.
        segments: ranges of t of the new segments.
        bytes: size of the new segments.
        superseded: keys of segments that nobody reads any more; `delete` removes them.
        seconds: how long it took.
    """

    store: str
    name: str
    before: int
    after: int
    segments: list[SegmentRange]
    bytes: int
    superseded: list[str]
    seconds: float


async def compact(
    store: AnyStore,
    *,
    name: str | None = None,
    segment_size: int = SEGMENT_TRANSACTIONS,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> CompactReport:
    """Merges neighbouring segments into larger ones, of at most `segment_size` t and about 131,072 datoms.

    The small segments stay until they are deleted (`delete` with `superseded`). A reader that listed the
    store before goes on reading them; one that lists it later reads the large segments, which cover the same
    t. So a compaction may be killed at any moment, and may run beside backups and restores.

    Args:
        store: a store, open or as a URI.
        name: name of the backup; required if the store holds several.
        segment_size: how many t a segment covers at most; it ends at a multiple of this, as in `backup`.
        encryption: the store's key, 32 bytes or a `KmsKey`; without it the segments are not encrypted.
        on_progress: called with the watermarks.

    Raises:
        NotFound: the store or the backup does not exist.
        UsageError: a URI is malformed, `segment_size` is less than 1, or `name` is required.
        SegmentDamaged: a segment to be merged cannot be used, or one before it by which the attributes
            changed; what was merged before it stays.
        SegmentGap: a segment by which the attributes changed is missing.
        DamageError: the segments lead to other attributes than those that the source had, or one does not
            follow the one before it.
        Conflict: segments are of different databases or backups.
        StoreFailed: the store cannot be written.
        NotAuthorized: the store refused the credentials, or is encrypted with another key.
    """
    texts(name=name)
    integers(least=1, segment_size=segment_size)
    started = monotonic()
    async with as_store(store, encryption) as opened:
        backup = await find_backup(opened, name)
        progress = Progress(start_t=0, end_t=backup.end)
        one_backup = OneBackup(await read_backup_json(backup))

        async def read(stored: StoredSegment) -> Segment:
            segment = await backup.read(stored)
            one_backup.check(segment.info, backup.where(stored.key))
            return segment

        await read(backup.chain()[-1])  # it says which backup this is
        schemas = StoredSchema(backup, read)
        sizes: dict[SegmentRange, int] = {}
        for run in _runs(backup.chain(), segment_size):
            sizes |= await _merge(backup, run, read, schemas)
            progress.committed_t = run[-1].range.end
            (on_progress or (lambda _: None))(progress)
        now = await find_backup(opened, backup.name)
    return CompactReport(
        store=opened.uri,
        name=backup.name,
        before=len(backup.chain()),
        after=len(now.chain()),
        segments=sorted(sizes),
        bytes=sum(sizes.values()),
        superseded=[segment.key for segment in now.superseded()],
        seconds=monotonic() - started,
    )


def _runs(chain: Iterable[StoredSegment], size: int) -> Iterator[list[StoredSegment]]:
    """Yields runs of two or more segments without a gap that lie between two multiples of `size`."""
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


async def _merge(
    backup: Backup,
    run: list[StoredSegment],
    read: Callable[[StoredSegment], Awaitable[Segment]],
    schemas: StoredSchema,
) -> dict[SegmentRange, int]:
    """Merges as many segments of a run at a time as fit into one; returns the sizes of the new ones."""
    sizes: dict[SegmentRange, int] = {}
    merging: _Merging | None = None
    for start in range(0, len(run), SEGMENTS_AT_ONCE):
        for segment in await each(run[start : start + SEGMENTS_AT_ONCE], read, at_once=SEGMENTS_AT_ONCE):
            backup.check_may_add(segment)
            if merging is not None and not merging.has_room(segment.info):
                sizes |= await _publish(backup, merging, schemas)
                merging = None
            if merging is None:
                merging = _Merging(segment)
            await to_thread.run_sync(merging.add, segment)
    if merging is not None:
        sizes |= await _publish(backup, merging, schemas)
    return sizes


async def _publish(backup: Backup, merging: _Merging, schemas: StoredSchema) -> dict[SegmentRange, int]:
    """Publishes what was merged, unless it is a single segment; returns its size if it is new."""
    if merging.segments > 1:
        schema = await schemas.before(merging.first)
        range_, data = await to_thread.run_sync(merging.encode, schema)
        if await publish_segment(backup, range_, data):
            return {range_: len(data)}
    return {}


class _Merging:
    """Segments to be merged into one.

    Attributes:
        first: the first of them.
        segments: how many they are.
    """

    def __init__(self, first: Segment) -> None:
        self.first = first
        self._end = first.info.start
        self._weight = 0
        self._lineage = Lineage.of(first.info)
        self._chunks: list[LogChunk] = []
        self.segments = 0

    def has_room(self, info: SegmentInfo) -> bool:
        """Whether one more segment fits, judged by its number of datoms."""
        return self._weight + info.datoms <= SEGMENT_WEIGHT

    def add(self, segment: Segment) -> None:
        """Adds the next segment, without what the segments before it already hold."""
        info = segment.info
        source = self.first.info.source
        if info.source != source:
            raise Conflict(
                f"{info.range.key} is of another database ({info.source}) than its neighbour ({source})",
                hint="Run repair with the source.",
            )
        before = last_before(reversed(self._chunks), info.start)
        if before and info.previous not in {None, digest_of(before)}:
            raise DamageError(
                f"{info.range.key} was written after another transaction than the last one before it",
                hint="Run repair with the source.",
            )
        self._lineage = self._lineage or Lineage.of(info)
        for chunk in segment.chunks():
            wanted = chunk.after(t_to_tx(self._end) - 1)
            if wanted:
                self._chunks.append(wanted)
                self._weight += wanted.weight
        self._end = info.end
        self.segments += 1

    def encode(self, schema: Schema) -> tuple[SegmentRange, bytes]:
        """Returns all of them as one segment, which was read back and compared.

        Args:
            schema: as of before the first of them; it is moved on.
        """
        first = self.first.info
        range_ = SegmentRange(first.start, self._end)
        data = encode(
            list(_pages(self._chunks)),
            range_,
            source=first.source,
            name=first.name,
            bootstrap_t=first.bootstrap_t,
            schema=schema,
            last_excision_t=first.last_excision_t,
            lineage=self._lineage,
            previous=first.previous,
        )
        return range_, data


def _pages(chunks: Iterable[LogChunk]) -> Iterator[LogChunk]:
    """Joins chunks to the usual size: a row group for each small segment would make too many."""
    page: list[LogChunk] = []
    weight = 0
    for chunk in chunks:
        page.append(chunk)
        weight += chunk.weight
        if weight >= PAGE_WEIGHT:
            yield LogChunk.join(page)
            page, weight = [], 0
    if page:
        yield LogChunk.join(page)
