"""Backup: copies the log of a source into a store, segment by segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.catalog import list_backup, publish_segment
from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import Conflict, SegmentGap, UsageError
from asyncrestore.history import PAGE_WEIGHT, LiveHistory
from asyncrestore.model import t_to_tx
from asyncrestore.opening import as_database, as_store
from asyncrestore.progress import Progress
from asyncrestore.segment import Segment, SegmentRange, encode
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from asyncrestore.catalog import Backup
    from asyncrestore.datomic.base import Database
    from asyncrestore.model import LogChunk
    from asyncrestore.opening import AnyDatabase, AnyStore
    from asyncrestore.progress import OnProgress
    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

_PUT_BACK = "The database was put back to an earlier state. Back it up under another --name."
SEGMENT_TRANSACTIONS = 10_000
SEGMENT_WEIGHT = 131_072
"""A segment whose datoms weigh this much (`model.weight`) ends early, so that one always fits into memory,
several times."""


@dataclass(slots=True)
class BackupReport:
    """What a backup did.

    Attributes:
        source: identity of the source database.
        name: of the backup.
        store: the store's URI.
        end: the first t that is not in the store.
        missing: ranges that the store still lacks of the source's log, as that was when the backup began;
            empty unless the run was given bounds.
        segments: ranges that were missing and are there now.
        transactions: in those segments.
        datoms: in those segments.
        bytes: size of those segments.
        seconds: how long it took.
    """

    source: str
    name: str
    store: str
    end: int
    missing: list[SegmentRange] = field(default_factory=list)
    segments: list[SegmentRange] = field(default_factory=list)
    transactions: int = 0
    datoms: int = 0
    bytes: int = 0
    seconds: float = 0.0


async def backup(
    source: AnyDatabase,
    store: AnyStore,
    *,
    name: str | None = None,
    segment_size: int = SEGMENT_TRANSACTIONS,
    start_t: int = 0,
    end_t: int | None = None,
    segments: int | None = None,
    shard: tuple[int, int] = (0, 1),
    parallel: int = 3,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> BackupReport:
    """Copies what a store does not have yet of a database's log, up to the database's present t.

    Without bounds all of it. A run within bounds leaves the rest to later ones, which may come in any order:
    the report's `missing` says what is left. A backup with a gap cannot be restored until that is filled.

    Args:
        source: a database, open or as a URI.
        store: a store, open or as a URI; made if it does not exist.
        name: of the backup in the store; without it the database's name.
        segment_size: how many t a segment covers at most; one with very many datoms is cut earlier.
        start_t: copies nothing before this t.
        end_t: copies nothing from this t on.
        segments: copies so many segments at most, the first missing ones; one with very many datoms becomes
            several, and counts once. Without it all.
        shard: (i, n): copies only this process's part, the i-th of n, from 0; the others copy theirs, at the
            same time or not. All must be given the same `segment_size`.
        parallel: how many segments are read and written at once.
        encryption: the store's key, 32 bytes or a `KmsKey`; without it the segments are not encrypted.
        on_progress: is told the watermarks.

    Raises:
        NotFound: there is no such database. UsageError: a URI or number is wrong.
        Conflict: the store has another database's backup under the name, or other content.
        StoreFailed, NotAuthorized: the store cannot be written, or is encrypted with another key.
        SegmentDamaged: the newest segment in the store cannot be read.
        SegmentGap: without bounds, something is missing all the same: segments were deleted or put aside
            meanwhile.
    """
    if segment_size < 1 or parallel < 1 or (segments is not None and segments < 1):
        raise UsageError("segment_size, parallel and segments must be at least 1")
    if start_t < 0:
        raise UsageError("start_t must be at least 0")
    if end_t is not None and end_t <= start_t:
        raise UsageError(f"no t is from {start_t} on and before {end_t}")
    if not 0 <= shard[0] < shard[1]:
        raise UsageError(
            f"there is no shard {shard[0]} of {shard[1]}", hint="Of N shards the first is 0 and the last N-1."
        )
    async with as_store(store, encryption) as opened, open_connector() as connector:
        database = await as_database(connector, source)
        job = _Backup(database, await LiveHistory.open(database), opened, name or database.name, segment_size)
        report = await job.run(start_t, end_t, segments, shard, parallel, on_progress or (lambda _: None))
    if (start_t, end_t, segments, shard) == (0, None, None, (0, 1)) and report.missing:
        missing = ", ".join(f"{gap.start} to {gap.end - 1}" for gap in report.missing)
        raise SegmentGap(
            f"{report.store}/{report.name} lacks t {missing} at the end of its backup",
            hint="Segments were deleted or put aside meanwhile. Run the same command again.",
        )
    return report


async def fill(
    database: Database,
    store: Store,
    name: str,
    *,
    segment_size: int,
    parallel: int,
    without: Collection[str],
    on_progress: OnProgress,
) -> BackupReport:
    """Backs up all that the segments do not hold, but for those with the keys `without`.

    For a repair: what is damaged is written again before it is put aside. As `backup`, but what is still
    missing at the end is only in the report.
    """
    job = _Backup(database, await LiveHistory.open(database), store, name, segment_size, without)
    return await job.run(0, None, None, (0, 1), parallel, on_progress)


class _Backup:
    def __init__(
        self,
        database: Database,
        history: LiveHistory,
        store: Store,
        name: str,
        segment_size: int,
        without: Collection[str] = (),
    ) -> None:
        self._database = database
        self._history = history
        self._store = store
        self._name = name
        self._segment_size = segment_size
        self._without = without
        self._report = BackupReport(history.identity, name, store.uri, history.end)

    async def run(
        self,
        start_t: int,
        end_t: int | None,
        segments: int | None,
        shard: tuple[int, int],
        parallel: int,
        on_progress: OnProgress,
    ) -> BackupReport:
        started = monotonic()
        self._there = await self._list()
        if self._history.end == self._history.bootstrap_t + 1:
            # Nothing but what every database is born with, so nothing to know it again by.
            self._check_not_ahead(self._there, self._history.end)
            self._report.end = self._there.end
            return self._report
        await self._check(self._there)
        end = self._history.end  # others may be ahead of it
        wanted = _within(self._there.gaps(end), start_t, end if end_t is None else min(end, end_t))
        ranges = list(self._plan(wanted, shard))[:segments]
        self._progress = Progress(start_t=0, end_t=sum(range_.end - range_.start for range_ in ranges))
        self._on_progress = on_progress
        on_progress(self._progress)
        left_to_do = iter(ranges)
        async with task_group() as tasks:
            for _ in range(min(parallel, len(ranges))):
                tasks.start_soon(self._work, left_to_do)
        self._report.segments.sort()
        self._report.missing = (await self._list()).gaps(self._history.end)
        if self._report.missing:
            self._report.end = self._report.missing[0].start
        self._report.seconds = monotonic() - started
        return self._report

    async def _list(self) -> Backup:
        return await list_backup(self._store, self._name, without=self._without)

    async def _check(self, there: Backup) -> None:
        """The backup that is there must be of this database, and not ahead of it."""
        if not there.segments:
            return
        newest = there.chain()[-1]
        segment = await there.read(newest)
        if segment.info.source != self._history.identity:
            raise Conflict(
                f"{there.where()} is a backup of another database ({segment.info.source}) than "
                f"{self._database.uri} ({self._history.identity})",
                hint="Give this backup another --name.",
            )
        if there.end > self._history.end:
            # Another backup that began later may have been faster.
            self._check_not_ahead(there, await self._database.basis_t() + 1)
        for stored in reversed(there.chain()):
            if segment.info.last_t is not None:
                break
            segment = await there.read(stored)
        await self._check_common_past(segment)

    def _check_not_ahead(self, there: Backup, end: int) -> None:
        if there.end > end:
            raise Conflict(
                f"{there.where()} goes up to t {there.end - 1}, but {self._database.uri} ends at t {end - 1}",
                hint=_PUT_BACK,
            )

    async def _check_common_past(self, newest: Segment) -> None:
        """The last stored transaction must be the source's: put back, it may have gone on otherwise."""
        last_t = newest.info.last_t
        if last_t is not None:
            stored = await to_thread.run_sync(newest.chunk, newest.groups - 1)
            _, chunk = await self._database.read_log(last_t, last_t + 1, size=1)
            if chunk != stored.after(t_to_tx(last_t) - 1):
                raise Conflict(
                    f"{self._report.store}/{self._name} and {self._database.uri} have parted: "
                    f"t {last_t} differs",
                    hint=_PUT_BACK,
                )

    def _plan(self, missing: Iterable[SegmentRange], shard: tuple[int, int]) -> Iterator[SegmentRange]:
        """Cuts what is missing at multiples of the segment size, so that every run and process cuts alike.

        Whose a piece is depends on its place alone, not on what was there when a process looked.
        """
        size = self._segment_size
        own, shards = shard
        for gap in missing:
            at = gap.start
            while at < gap.end:
                end = min(gap.end, (at // size + 1) * size)
                if at // size % shards == own:
                    yield SegmentRange(at, end)
                at = end

    async def _work(self, ranges: Iterator[SegmentRange]) -> None:
        """Copies ranges until none is left; several of these share the iterator."""
        for range_ in ranges:
            start: int | None = range_.start
            while start is not None:
                start = await self._copy(SegmentRange(start, range_.end))

    async def _copy(self, range_: SegmentRange) -> int | None:
        """Copies a range, or as much as fits into a segment; answers where to go on, None at its end."""
        chunks: list[LogChunk] = []
        next_t: int | None = range_.start
        while next_t is not None and sum(chunk.weight for chunk in chunks) < SEGMENT_WEIGHT:
            next_t, chunk = await self._database.read_log(next_t, range_.end, size=PAGE_WEIGHT)
            if chunk:
                chunks.append(chunk)
        covered = SegmentRange(range_.start, range_.end if next_t is None else next_t)
        data = await to_thread.run_sync(self._encode, chunks, covered)
        written = await publish_segment(self._there, covered, data)
        self._done(covered, chunks, len(data), written=written)
        return next_t

    def _encode(self, chunks: list[LogChunk], range_: SegmentRange) -> bytes:
        return encode(
            chunks,
            range_,
            source=self._history.identity,
            name=self._database.name,
            bootstrap_t=self._history.bootstrap_t,
            schema=self._history.schema_as_of(range_.start - 1),
        )

    def _done(self, range_: SegmentRange, chunks: list[LogChunk], size: int, *, written: bool) -> None:
        transactions = sum(len(chunk.txs()) for chunk in chunks)
        if written:
            self._report.segments.append(range_)
            self._report.transactions += transactions
            self._report.datoms += sum(map(len, chunks))
            self._report.bytes += size
        self._progress.committed_t += range_.end - range_.start
        self._progress.transactions += transactions
        self._progress.datoms += sum(map(len, chunks))
        self._on_progress(self._progress)


def _within(gaps: Iterable[SegmentRange], start_t: int, end_t: int | None) -> Iterator[SegmentRange]:
    """The parts of the gaps that lie in [start_t, end_t)."""
    for gap in gaps:
        start = max(gap.start, start_t)
        end = gap.end if end_t is None else min(gap.end, end_t)
        if start < end:
            yield SegmentRange(start, end)
