"""Copy: a spare copy of a backup in another store."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.catalog import find_backup, list_backup, publish_segment
from asyncrestore.errors import Conflict, NotFound, SegmentDamaged, UsageError
from asyncrestore.jobs.verify import verify
from asyncrestore.model import LogChunk, t_to_tx
from asyncrestore.opening import as_store
from asyncrestore.progress import Progress
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.catalog import Backup, StoredSegment
    from asyncrestore.jobs.verify import VerifyReport
    from asyncrestore.opening import AnyStore
    from asyncrestore.progress import OnProgress
    from asyncrestore.segment import SegmentInfo, SegmentRange
    from asyncrestore.stores.encrypted import Encryption


@dataclass(slots=True)
class CopyReport:
    """What a copy did.

    Attributes:
        source: what was copied, for people.
        segments: ranges that were not in the other store and are there now.
        bytes: size of those segments.
        problems: why segments were not copied.
        verified: how the copy is, None where nothing could be copied.
        seconds: how long it took.
    """

    source: str
    segments: list[SegmentRange] = field(default_factory=list)
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    verified: VerifyReport | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all was copied, and the copy is whole."""
        return not self.problems and self.verified is not None and self.verified.ok


async def copy(
    source: AnyStore,
    target: AnyStore,
    *,
    name: str | None = None,
    as_name: str | None = None,
    parallel: int = 3,
    encryption: Encryption | None = None,
    decrypt: bool = False,
    on_progress: OnProgress | None = None,
) -> CopyReport:
    """Copies the segments of a backup that another store does not have yet, and verifies the copy.

    Each is read whole, its digest checked, and published byte for byte. What is superseded, put aside or
    damaged is not copied. Run it again at any time: it continues, and adds what is new.

    Args:
        source: a store, open or as a URI.
        target: the other store; made if it does not exist.
        name: of the backup, where `source` holds several.
        as_name: of the copy, if it is to have another name.
        parallel: how many segments are copied at once.
        encryption: the key of both stores, 32 bytes or a `KmsKey`. What is not encrypted in `source` is in
            the copy. Two keys: give stores that were opened with them.
        decrypt: the copy is not encrypted.
        on_progress: is told the watermarks: of copying, then of verifying.

    Returns:
        The report; what is wrong with the data is in it, and not raised.

    Raises:
        NotFound: there is no such backup. UsageError: a URI or number is wrong, or a name is needed.
        Conflict: `target` has another database's backup under the name, or one of another past of this.
        StoreFailed, NotAuthorized: a store cannot be read or written.
    """
    if parallel < 1:
        raise UsageError("parallel must be at least 1")
    if decrypt and encryption is None:
        raise UsageError("Decrypting needs the key")
    started = monotonic()
    tell = on_progress or (lambda _: None)
    async with (
        as_store(source, encryption, plain_too=True) as from_store,
        as_store(target, None if decrypt else encryption) as to_store,
    ):
        backup = await find_backup(from_store, name)
        there = await list_backup(to_store, as_name or backup.name)
        await _check_same(backup, there)
        job = _Copy(backup, there, tell)
        await job.run(parallel)
        if (await list_backup(to_store, there.name)).segments:
            job.report.verified = await verify(to_store, name=there.name, on_progress=tell)
        elif not job.report.problems:
            job.report.problems.append(f"{there.where()} was deleted meanwhile")
    job.report.seconds = monotonic() - started
    return job.report


async def _check_same(backup: Backup, there: Backup) -> None:
    """Both must be of one database, and of one past of it.

    A segment that cannot be read says nothing here, and is told later.
    """
    ours, theirs = await _newest(backup), await _newest(there)
    if ours is None or theirs is None:
        return
    if ours.source != theirs.source:
        raise Conflict(
            f"{there.where()} is a backup of another database ({theirs.source}) than "
            f"{backup.where()} ({ours.source})",
            hint="Give the copy another name.",
        )
    assert ours.last_t is not None
    assert theirs.last_t is not None
    t = min(ours.last_t, theirs.last_t)
    with suppress(SegmentDamaged, NotFound):
        pasts = [await _transaction(each, t) for each in (backup, there)]
        if None not in pasts and pasts[0] != pasts[1]:
            raise Conflict(
                f"{backup.where()} and {there.where()} have parted: t {t} differs",
                hint="The database was put back to an earlier state between. Give the copy another name.",
            )


def _not_covered(backup: Backup, there: Backup) -> Iterator[StoredSegment]:
    """The segments that no single one there covers: neither the same, nor one that a compaction made."""
    ranges = [segment.range for segment in there.chain()]
    for segment in backup.chain():
        at = bisect_right(ranges, segment.range.start, key=lambda each: each.start)
        if at == 0 or ranges[at - 1].end < segment.range.end:
            yield segment


async def _newest(backup: Backup) -> SegmentInfo | None:
    """What the newest readable segment with transactions says of itself."""
    for stored in reversed(backup.chain()):
        with suppress(SegmentDamaged, NotFound):
            info = (await backup.read(stored)).info
            if info.last_t is not None:
                return info
    return None


async def _transaction(backup: Backup, t: int) -> LogChunk | None:
    """The datoms of a transaction, None where no segment covers it."""
    for stored in backup.chain():
        if stored.range.start <= t < stored.range.end:
            segment = await backup.read(stored)
            chunks = await to_thread.run_sync(list, segment.chunks())
            return LogChunk.join(chunks).after(t_to_tx(t) - 1).until(t_to_tx(t))
    return None


class _Copy:
    def __init__(self, backup: Backup, there: Backup, on_progress: OnProgress) -> None:
        self._backup = backup
        self._there = there
        self._on_progress = on_progress
        self.report = CopyReport(backup.where())

    async def run(self, parallel: int) -> None:
        wanted = list(_not_covered(self._backup, self._there))
        self._progress = Progress(start_t=0, end_t=sum(s.range.end - s.range.start for s in wanted))
        self._on_progress(self._progress)
        left_to_do = iter(wanted)
        async with task_group() as tasks:
            for _ in range(min(parallel, len(wanted))):
                tasks.start_soon(self._work, left_to_do)
        self.report.segments.sort()

    async def _work(self, segments: Iterator[StoredSegment]) -> None:
        """Copies segments until none is left; several of these share the iterator."""
        for stored in segments:
            try:
                segment = await self._backup.read(stored)
            except (SegmentDamaged, NotFound) as exc:
                self.report.problems.append(str(exc))
                continue
            if await publish_segment(self._there, stored.range, segment.data):
                self.report.segments.append(stored.range)
                self.report.bytes += len(segment.data)
            self._progress.transactions += segment.info.transactions
            self._progress.datoms += segment.info.datoms
            self._progress.committed_t += stored.range.end - stored.range.start
            self._on_progress(self._progress)
