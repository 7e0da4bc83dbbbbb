"""Copy: makes a spare copy of a backup in another store."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import Conflict, DamageError, NotFound, SegmentDamaged, UsageError
from asyncrestore.history.backup_json import agree, check_backup_json
from asyncrestore.history.bootstrap import MADE_AGAIN
from asyncrestore.history.catalog import find_backup, list_backup, publish_segment
from asyncrestore.jobs.arguments import integers, texts
from asyncrestore.jobs.opening import as_store
from asyncrestore.jobs.verify_backup import verify_backup
from asyncrestore.progress import Progress
from asyncrestore.segments.lineage import OneBackup
from asyncrestore.stores.base import Authenticates
from asyncrestore.stores.signed import SignedStore
from asyncrestore.tasks import each
from asyncrestore.verifying.common_past import check_copies

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.jobs.opening import AnyStore
    from asyncrestore.jobs.verified import VerifyReport
    from asyncrestore.progress import OnProgress
    from asyncrestore.segments.document import SegmentRange
    from asyncrestore.segments.lineage import Lineage
    from asyncrestore.segments.segment import Segment
    from asyncrestore.stores.encrypted import Encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What a copy did.

    Attributes:
        source: display name of the backup that was copied.
        segments: ranges of t of the segments that this run added to the copy.
        bytes: size of those segments.
        problems: for each segment that could not be copied, why.
        verified: the verification of the copy; None if the copy is empty, because nothing could be copied.
        seconds: how long it took.
    """

    source: str
    segments: list[SegmentRange]
    bytes: int
    problems: list[str]
    verified: VerifyReport | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all was copied, and the copy is whole."""
        return not self.problems and self.verified is not None and self.verified.ok

    def raise_for_problems(self) -> None:
        """Raises an error if not all was copied, or the copy is not whole.

        Raises:
            DamageError: segments could not be copied; the message has their number and the first reason.
            HistoryDiffers: the copy is not whole.
        """
        if self.problems:
            segments = f"{len(self.problems):,} segment{'' if len(self.problems) == 1 else 's'}"
            raise DamageError(
                f"{self.source}: {segments} could not be copied, the first: {self.problems[0]}",
                hint="Run repair with the source, and copy again.",
            )
        if self.verified is None:
            raise DamageError(f"{self.source}: nothing was copied")
        self.verified.raise_for_problems()


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

    Each segment is read whole, its digest is checked, and it is published byte for byte (with its signature
    made anew, where the copy is signed). Segments that are
    superseded, put aside or damaged are not copied. Run it again at any time: it continues, and adds what is
    new.

    Args:
        source: a store, open or as a URI.
        target: the store to copy to, open or as a URI; created if it does not exist.
        name: name of the backup; required if `source` holds several.
        as_name: name of the copy. Default: the name of the backup.
        parallel: how many segments are copied at once.
        encryption: the key of both stores, 32 bytes, a `KmsKey` or a `SigningKey`. Segments that `source`
            holds in clear are encrypted in the copy, those that are not signed are signed. For two different
            keys, pass stores that were opened with them.
        decrypt: do not encrypt the copy, nor sign it; `encryption` is the key of `source`.
        on_progress: called with the watermarks: first of copying, then of verifying.

    Returns:
        The report. What is wrong with the data is in it, and is not raised.

    Raises:
        NotFound: the store or the backup does not exist.
        UsageError: a URI is malformed, an option is out of range, or `name` is required.
        Conflict: under this name `target` has a backup of another database, of this one with a different
            past, or another backup of it; or the newest segment of one is of another backup.
        StoreFailed: a store cannot be read or written.
        NotAuthorized: a store refused the credentials, or is encrypted with another key.
    """
    texts(name=name, as_name=as_name)
    integers(least=1, parallel=parallel)
    if decrypt and encryption is None:
        raise UsageError("Decrypting needs the key")
    started = monotonic()
    on_progress = on_progress or (lambda _: None)
    async with (
        as_store(source, encryption, plain_too=True, argument="source") as from_store,
        as_store(target, None if decrypt else encryption, argument="target") as to_store,
    ):
        backup = await find_backup(from_store, name)
        there = await list_backup(to_store, as_name or backup.name)
        lineage = await _check_same(backup, there)
        if lineage is not None:
            await agree(there, lineage)
        wanted = list(_not_covered(backup, there))
        job = _Copy(
            backup=backup,
            there=there,
            one_backup=OneBackup(lineage),
            progress=Progress(start_t=0, end_t=sum(each.range.end - each.range.start for each in wanted)),
            on_progress=on_progress,
        )
        await job.run(wanted, parallel)
        verified = None
        if (await list_backup(to_store, there.name)).segments:
            verified = await verify_backup(to_store, name=there.name, on_progress=on_progress)
            if isinstance(from_store, Authenticates):
                verified = replace(verified, notes=[*from_store.remarks(), *verified.notes])
        elif not job.problems:
            job.problems.append(f"{there.where()} was deleted meanwhile")
    return CopyReport(
        source=backup.where(),
        segments=sorted(job.sizes),
        bytes=sum(job.sizes.values()),
        problems=job.problems,
        verified=verified,
        seconds=monotonic() - started,
    )


async def _check_same(backup: Backup, there: Backup) -> Lineage | None:
    """Both must be of one database, and of one past of it, and the copy of this backup; returns which it is.

    Segments that cannot be read are ignored here; copying reports them.
    """
    ours, theirs = await _newest(backup), await _newest(there)
    if ours is not None and theirs is not None:
        if ours.info.source != theirs.info.source:
            raise Conflict(
                f"{there.where()} is a backup of another database ({theirs.info.source}) than "
                f"{backup.where()} ({ours.info.source})",
                hint=f"{MADE_AGAIN} Give the copy another name.",
            )
        await check_copies(backup, ours, there, theirs)
    lineage = await check_backup_json(backup, ours.info if ours else None)
    copied = await check_backup_json(there, theirs.info if theirs else None)
    if lineage is not None and copied is not None and lineage != copied:
        raise Conflict(
            f"{there.where()} is another backup ({copied.backup}) than {backup.where()} ({lineage.backup}), "
            "though of the same database",
            hint="Give the copy another name.",
        )
    return lineage


def _not_covered(backup: Backup, there: Backup) -> Iterator[StoredSegment]:
    """Yields the segments that no single one there covers: neither the same nor a compacted one."""
    ranges = [segment.range for segment in there.chain()]
    for segment in backup.chain():
        at = bisect_right(ranges, segment.range.start, key=lambda each: each.start)
        if at == 0 or ranges[at - 1].end < segment.range.end:
            yield segment


async def _newest(backup: Backup) -> Segment | None:
    """Returns the newest readable segment that has transactions."""
    for stored in reversed(backup.chain()):
        with suppress(SegmentDamaged, NotFound):
            segment = await backup.read(stored)
            if segment.info.last_t is not None:
                return segment
    return None


@dataclass(kw_only=True)
class _Copy:
    """Copies segments of a backup into another store.

    Attributes:
        backup: the backup to copy.
        there: the copy as it was at the beginning.
        one_backup: knows which backup the segments must be of.
        progress: counted in t that are copied, from 0.
        on_progress: called with `progress`.
        sizes: the segments that were added, with their sizes in bytes.
        problems: for each segment that could not be copied, why.
    """

    backup: Backup
    there: Backup
    one_backup: OneBackup
    progress: Progress
    on_progress: OnProgress
    sizes: dict[SegmentRange, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    async def run(self, wanted: Collection[StoredSegment], parallel: int) -> None:
        self.on_progress(self.progress)
        await each(wanted, self._copy, at_once=parallel)

    async def _copy(self, stored: StoredSegment) -> None:
        """Copies a segment; one that cannot be used is a problem."""
        try:
            segment = await self.backup.read(stored)
            self.one_backup.check(segment.info, self.backup.where(stored.key))
        except (SegmentDamaged, NotFound, Conflict) as exc:
            self.problems.append(str(exc))
            return
        data = segment.data
        if isinstance(self.there.store, SignedStore):
            data = await to_thread.run_sync(segment.with_place_for_mac)
        if await publish_segment(self.there, stored.range, data):
            self.sizes[stored.range] = len(data)
        self.progress.transactions += segment.info.transactions
        self.progress.datoms += segment.info.datoms
        self.progress.committed_t += stored.range.end - stored.range.start
        self.on_progress(self.progress)
