"""Backup: copies the log of a source into a store, segment by segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import Conflict, SegmentGap, UsageError
from asyncrestore.excision.excised import Excised, Excisions
from asyncrestore.history.backup_json import agree, check_backup_json
from asyncrestore.history.base import PAGE_WEIGHT
from asyncrestore.history.bootstrap import MADE_AGAIN, ROLLED_BACK
from asyncrestore.history.catalog import list_backup, publish_segment
from asyncrestore.history.live import LiveHistory
from asyncrestore.jobs.arguments import integers, texts
from asyncrestore.jobs.opening import as_source, as_store
from asyncrestore.progress import Progress
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.encode import encode
from asyncrestore.segments.lineage import digest_of
from asyncrestore.segments.segment import last_before
from asyncrestore.tasks import each
from asyncrestore.verifying.common_past import check_source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from asyncrestore.datomic.base import Database
    from asyncrestore.history.catalog import Backup
    from asyncrestore.jobs.opening import AnyDatabase, AnyStore
    from asyncrestore.model.log import LogChunk, Transaction
    from asyncrestore.progress import OnProgress
    from asyncrestore.segments.lineage import Lineage
    from asyncrestore.segments.segment import Segment
    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

SEGMENT_TRANSACTIONS = 10_000
SEGMENT_WEIGHT = 131_072
"""A segment whose datoms weigh this much (`model.weight`) ends early, so that several fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup did.

    Attributes:
        source: identity of the source database.
        name: name of the backup.
        store: the store's URI.
        end: the first t that is not in the store.
        missing: ranges of t that the store still lacks of the source's log, up to where the log ended when
            the backup began; empty unless the run was limited to a part.
        segments: ranges of t of the segments that this run added.
        transactions: how many transactions those segments hold.
        datoms: how many datoms those segments hold.
        bytes: size of those segments.
        seconds: how long it took.
        excised: the source's requests for excision that no backup has seen before, and the segments that were
            written before them.
        notes: remarks that are not problems: what to do about those segments.
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
    excised: Excised = field(default_factory=Excised)
    notes: list[str] = field(default_factory=list)


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
    read_rate: int | None = None,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> BackupReport:
    """Copies the part of a database's log that a store does not have yet, up to the database's current t.

    `start_t`, `end_t`, `segments` and `shard` limit a run to a part of that. Other runs, in any order, copy
    the rest; the report's `missing` says what is left. A backup with a gap cannot be restored until it is
    filled.

    Args:
        source: a database, open or as a URI.
        store: a store, open or as a URI; created if it does not exist.
        name: name of the backup in the store. Default: the database's name.
        segment_size: how many t a segment covers at most; one with very many datoms is cut earlier.
        start_t: nothing before this t is copied.
        end_t: nothing from this t on is copied; must be greater than `start_t`.
        segments: at most this many segments are copied, the first missing ones. One that is cut because of
            its datoms counts once. Default: all.
        shard: (i, n) copies only part i of n, counted from 0; other processes copy theirs, at the same time
            or not. All of them must use the same `segment_size`.
        parallel: how many segments are read and written at once.
        read_rate: at most so many datoms of the source's log are read a second. Default: as fast as it goes.
        encryption: the store's key, 32 bytes or a `KmsKey`; without it the segments are not encrypted.
        on_progress: called with the watermarks.

    Raises:
        NotFound: the database does not exist.
        UsageError: a URI is malformed, or an option is out of range.
        Conflict: under this name the store has a backup of another database, also of one of this name that
            was deleted and made again, of a state of this one that was rolled back, or other content; or its
            newest segment is of another backup.
        StoreFailed: the store cannot be written.
        NotAuthorized: the store refused the credentials, or is encrypted with another key; or it has an
            encrypted `backup.json`, and no key was given.
        SegmentDamaged: the newest segment in the store cannot be read.
        SegmentGap: without bounds, ranges are missing all the same: segments were deleted or put aside
            meanwhile.
    """
    texts(name=name)
    integers(least=1, segment_size=segment_size, parallel=parallel)
    integers(least=1, or_none=True, segments=segments, read_rate=read_rate)
    integers(start_t=start_t)
    integers(or_none=True, end_t=end_t)
    if end_t is not None and end_t <= start_t:
        raise UsageError(f"`end_t` must be greater than `start_t`: {end_t} is not greater than {start_t}")
    if not 0 <= shard[0] < shard[1]:
        raise UsageError(
            f"there is no shard {shard[0]} of {shard[1]}", hint="Of N shards the first is 0 and the last N-1."
        )
    async with as_store(store, encryption) as opened, open_connector() as connector:
        database = await as_source(connector, source, read_rate=read_rate)
        report = await fill(
            database,
            opened,
            name or database.name,
            segment_size=segment_size,
            start_t=start_t,
            end_t=end_t,
            segments=segments,
            shard=shard,
            parallel=parallel,
            on_progress=on_progress or (lambda _: None),
        )
    if (start_t, end_t, segments, *shard) == (0, None, None, 0, 1) and report.missing:
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
    on_progress: OnProgress,
    start_t: int = 0,
    end_t: int | None = None,
    segments: int | None = None,
    shard: tuple[int, int] = (0, 1),
    without: Collection[str] = (),
    lineage: Lineage | None = None,
) -> BackupReport:
    """Copies what a backup does not hold yet; arguments and errors as those of `backup`.

    `without` has keys of segments that count as missing: a repair has damaged ones replaced before it puts
    them aside. What is still missing at the end is in the report, whatever the bounds. `lineage` is that of
    the new segments; by default the backup's own.
    """
    history = await LiveHistory.open(database)
    started = monotonic()
    there = await list_backup(store, name, without=without)
    if history.end == history.bootstrap_t + 1:
        # It has only what every database is born with: nothing by which to recognise it later.
        _check_not_ahead(there, database, history.end)
        return BackupReport(source=history.identity, name=name, store=store.uri, end=there.end)
    newest = await _check_same(there, database, history)
    lineage = lineage or await check_backup_json(there, newest.info if newest else None)
    excised = _before_requests(there, history)
    # Other backups may already be ahead of history.end.
    gaps = _within(there.gaps(history.end), start_t, min(history.end, end_t or history.end))
    ranges = list(_plan(gaps, segment_size, shard))[:segments]
    if ranges:
        lineage = await agree(there, lineage)
    job = _Backup(
        database=database,
        history=history,
        there=there,
        newest=newest,
        lineage=lineage,
        progress=Progress(start_t=0, end_t=sum(range_.end - range_.start for range_ in ranges)),
        on_progress=on_progress,
    )
    await job.run(ranges, parallel)
    missing = (await list_backup(store, name, without=without)).gaps(history.end)
    return BackupReport(
        source=history.identity,
        name=name,
        store=store.uri,
        end=missing[0].start if missing else history.end,
        missing=missing,
        segments=sorted(segment.range for segment in job.written),
        transactions=sum(segment.transactions for segment in job.written),
        datoms=sum(segment.datoms for segment in job.written),
        bytes=sum(segment.size for segment in job.written),
        seconds=monotonic() - started,
        excised=excised,
        notes=_notes(name, excised),
    )


async def _check_same(there: Backup, database: Database, history: LiveHistory) -> Segment | None:
    """The stored backup must be of this database, and not ahead of it; returns its newest segment."""
    if not there.segments:
        return None
    newest = await there.read(there.chain()[-1])
    there.check_may_add(newest)
    if newest.info.source != history.identity:
        raise Conflict(
            f"{there.where()} is a backup of another database ({newest.info.source}) than "
            f"{database.uri} ({history.identity})",
            hint=f"{MADE_AGAIN} Give this backup another `name`.",
        )
    if there.end > history.end:
        # Another backup that began later may have been faster.
        _check_not_ahead(there, database, await database.basis_t() + 1)
    excisions = Excisions.without_components(history.base, history.requests)
    await check_source(there, newest, database, excisions)
    return newest


def _check_not_ahead(there: Backup, database: Database, end: int) -> None:
    if there.end > end:
        raise Conflict(
            f"{there.where()} goes up to t {there.end - 1}, but {database.uri} ends at t {end - 1}",
            hint=f"{ROLLED_BACK} Back it up under another `name`.",
        )


def _before_requests(there: Backup, history: LiveHistory) -> Excised:
    """Returns the requests for excision that the backup lacks, and its segments with what is before them."""
    new = [
        request for request in history.requests if not there.covers(SegmentRange(request.t, request.t + 1))
    ]
    end = max((request.end for request in new), default=0)
    return Excised(
        requests=len(new), segments=[each.key for each in there.segments if each.range.start < end]
    )


def _notes(name: str, excised: Excised) -> list[str]:
    """Describes segments that were written before a request for excision, and what to do about them."""
    if not excised.segments:
        return []
    several = len(excised.segments) > 1
    note = (
        f"the source was asked to excise: {len(excised.segments)} segment{'s were' if several else ' was'} "
    )
    note += (
        f"written before that and may hold what is excised: {', '.join(excised.segments)}. Run repair with "
    )
    return [note + f"the source once it has carried that out, then delete {name} --superseded --yes."]


def _plan(gaps: Iterable[SegmentRange], size: int, shard: tuple[int, int]) -> Iterator[SegmentRange]:
    """Cuts the gaps at multiples of the segment size, and takes the pieces of one shard.

    Which shard a piece belongs to depends on its place alone, not on what was in the store when a process
    looked: so all runs and processes cut alike.
    """
    own, shards = shard
    for gap in gaps:
        at = gap.start
        while at < gap.end:
            end = min(gap.end, (at // size + 1) * size)
            if at // size % shards == own:
                yield SegmentRange(at, end)
            at = end


@dataclass(frozen=True, slots=True)
class _Written:
    """A segment that this run added to the store."""

    range: SegmentRange
    transactions: int
    datoms: int
    size: int


@dataclass(kw_only=True)
class _Backup:
    """Copies ranges of a database's log into a store.

    Attributes:
        database: the source.
        history: the source's history up to where this backup ends.
        there: the backup as it was in the store at the beginning.
        newest: its newest segment.
        lineage: of the segments to write.
        progress: counted in t that are copied, from 0.
        on_progress: called with `progress`.
        written: the segments that were added.
    """

    database: Database
    history: LiveHistory
    there: Backup
    newest: Segment | None
    lineage: Lineage | None
    progress: Progress
    on_progress: OnProgress
    written: list[_Written] = field(default_factory=list)

    async def run(self, ranges: Collection[SegmentRange], parallel: int) -> None:
        self.on_progress(self.progress)
        await each(ranges, self._copy_whole, at_once=parallel)

    async def _copy_whole(self, range_: SegmentRange) -> None:
        start: int | None = range_.start
        last = await self._last_before(range_.start)
        while start is not None:
            start, last = await self._copy(SegmentRange(start, range_.end), last)

    async def _last_before(self, t: int) -> Transaction | None:
        """Returns the last transaction before a t: that of the newest segment, if it ends there.

        The source's may have lost datoms to an excision since, and then nothing in the store is before it.
        """
        found = None
        if self.newest is not None and self.newest.info.end == t:
            found = await to_thread.run_sync(self.newest.last_before, t)
        return found or await self.history.last_before(t)

    async def _copy(
        self, range_: SegmentRange, before: Transaction | None
    ) -> tuple[int | None, Transaction | None]:
        """Copies a range, or as much as fits into a segment.

        Args:
            range_: to copy.
            before: the last transaction before it.

        Returns:
            The t to go on from, None at the end of the range; and the last transaction before that.
        """
        chunks: list[LogChunk] = []
        next_t: int | None = range_.start
        while next_t is not None and sum(chunk.weight for chunk in chunks) < SEGMENT_WEIGHT:
            next_t, chunk = await self.database.read_log(next_t, range_.end, size=PAGE_WEIGHT)
            if chunk:
                chunks.append(chunk)
        covered = SegmentRange(range_.start, range_.end if next_t is None else next_t)
        previous = digest_of(before) if before else None
        data = await to_thread.run_sync(self._encode, chunks, covered, previous)
        transactions, datoms = sum(len(chunk.txs()) for chunk in chunks), sum(map(len, chunks))
        if await publish_segment(self.there, covered, data):
            self.written.append(_Written(covered, transactions, datoms, len(data)))
        self.progress.committed_t += covered.end - covered.start
        self.progress.transactions += transactions
        self.progress.datoms += datoms
        self.on_progress(self.progress)
        return next_t, last_before(reversed(chunks), covered.end) or before

    def _encode(self, chunks: list[LogChunk], range_: SegmentRange, previous: str | None) -> bytes:
        return encode(
            chunks,
            range_,
            source=self.history.identity,
            name=self.database.name,
            bootstrap_t=self.history.bootstrap_t,
            schema=self.history.schema_as_of(range_.start - 1),
            last_excision_t=max((r.t for r in self.history.requests if r.t < range_.start), default=-1),
            lineage=self.lineage,
            previous=previous,
        )


def _within(gaps: Iterable[SegmentRange], start_t: int, end_t: int | None) -> Iterator[SegmentRange]:
    """The parts of the gaps that lie in [start_t, end_t)."""
    for gap in gaps:
        start = max(gap.start, start_t)
        end = gap.end if end_t is None else min(gap.end, end_t)
        if start < end:
            yield SegmentRange(start, end)
