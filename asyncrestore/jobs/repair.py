"""Repair: reads what is damaged or missing from the source again, and puts damaged segments aside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import (
    UNREADABLE,
    Conflict,
    HistoryDiffers,
    NewerFormat,
    NotFound,
    OtherKey,
)
from asyncrestore.history.backup_json import read_backup_json
from asyncrestore.history.bootstrap import ROLLED_BACK, has_engines_id
from asyncrestore.history.catalog import aside_key, list_backup
from asyncrestore.history.live import LiveHistory
from asyncrestore.jobs.arguments import integers, texts
from asyncrestore.jobs.backup import SEGMENT_TRANSACTIONS, fill
from asyncrestore.jobs.inspection import check_mostly_of, foreign, inspect_all, lineage_of
from asyncrestore.jobs.opening import as_source, as_store
from asyncrestore.jobs.verify_backup import verify_backup
from asyncrestore.progress import Progress
from asyncrestore.stores.base import Authenticates

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.jobs.backup import BackupReport
    from asyncrestore.jobs.inspection import Inspected
    from asyncrestore.jobs.opening import AnyDatabase, AnyStore
    from asyncrestore.jobs.verified import VerifyReport
    from asyncrestore.progress import OnProgress
    from asyncrestore.segments.lineage import Lineage
    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption
    from asyncrestore.verifying.compare_source import SegmentComparison


@dataclass(frozen=True, slots=True)
class PutAside:
    """A segment that was taken out of a backup; its object stays where it was.

    Attributes:
        key: its key in the store.
        reason: what is wrong with it.
    """

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What a repair did.

    Attributes:
        aside: the segments that were put aside.
        backup: what was read from the source: the missing ranges, and what it had beyond the backup's end.
        verified: the verification of the backup afterwards.
        seconds: how long it took.
    """

    aside: list[PutAside]
    backup: BackupReport
    verified: VerifyReport
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the backup is whole now."""
        return self.verified.ok

    def raise_for_problems(self) -> None:
        """Raises an error if the backup is still not whole.

        Raises:
            HistoryDiffers: there are problems; the message has their number and the first one.
        """
        if not self.ok:
            raise HistoryDiffers(
                f"{self.verified.checked} is still damaged: {self.verified.problem_count:,} "
                f"problem{'' if self.verified.problem_count == 1 else 's'}, "
                f"the first: {self.verified.problems[0]}",
                hint="Something is changing the backup, or the source does not hold all of it any more.",
            )


async def repair(
    source: AnyDatabase,
    store: AnyStore,
    *,
    name: str | None = None,
    segment_size: int = SEGMENT_TRANSACTIONS,
    parallel: int = 3,
    read_rate: int | None = None,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> RepairReport:
    """Makes a backup whole again from its source, and proves it.

    Reads every segment, and compares it with the source's log. The ranges that no good one covers, also at
    the end, are read from the source. Then each segment that is damaged, encrypted or signed with another
    key, not encrypted or signed while the others are, lies under another's name, is of
    another database or backup, differs from the source, has what was excised there, or follows a transaction
    that the source has otherwise is put aside: it stays where it
    is, and an object beside it (its name and `.aside`) says why it is not read. A damaged one that the source
    could not replace is not put aside, for nothing would show its loss. Last, all is verified. Nothing is
    deleted, renamed or replaced. A repair that was killed is simply run again.

    Args:
        source: the database that the backup is of, open or as a URI.
        store: a store, open or as a URI.
        name: name of the backup. Default: the database's name.
        segment_size: how many t a new segment covers at most.
        parallel: how many segments are read from the source at once.
        read_rate: at most so many datoms of the source's log are read a second. Default: as fast as it goes.
        encryption: the store's key, 32 bytes or a `KmsKey`; without it the segments are not encrypted.
        on_progress: called with the watermarks: first of reading the segments, then of reading the source,
            then of verifying.

    Returns:
        The report. What is still wrong is in it, and is not raised.

    Raises:
        NotFound: the database, the store or the backup does not exist.
        UsageError: a URI is malformed, or an option is out of range.
        Conflict: most of the readable segments are of another database, or the newest transaction of the
            backup is not the source's, which was rolled back perhaps; or a key was given, and nothing in the
            backup is protected by one: nothing was put aside.
        NewerFormat: a segment was written by a newer version of this program.
        StoreFailed: the store cannot be read or written.
        NotAuthorized: the store refused the credentials; or the backup is encrypted or signed with another
            key, or most of it is encrypted, and no key was given: nothing was put aside.
    """
    texts(name=name)
    integers(least=1, segment_size=segment_size, parallel=parallel)
    integers(least=1, or_none=True, read_rate=read_rate)
    started = monotonic()
    on_progress = on_progress or (lambda _: None)
    async with as_store(store, encryption) as opened, open_connector() as connector:
        database = await as_source(connector, source, read_rate=read_rate)
        name = name or database.name
        bad, lineage = await _find_bad(database, opened, name, on_progress)
        done = await fill(
            database,
            opened,
            name,
            segment_size=segment_size,
            parallel=parallel,
            without={stored.key for stored in bad},
            lineage=lineage,
            on_progress=on_progress,
        )
        aside = await _put_aside(opened, name, bad, done.source)
        # Only up to where that backup went: the source may have been written to since.
        verified = await verify_backup(opened, name=name, on_progress=on_progress)
    left = [
        f"no segment holds t {gap.start} to {gap.end - 1} (the tail)"
        for gap in done.missing
        if gap.start >= verified.end
    ]
    put_aside = {each.key for each in aside}
    # Where a key protects what is written, an empty object that somebody laid there does not count.
    by_hand = "delete it" if isinstance(opened, Authenticates) else "make an empty object {}"
    left += [
        f"{stored.key} was not put aside: the source has nothing to replace it; if it never was of this "
        f"backup, {by_hand.format(aside_key(stored.key))}"
        for stored in bad
        if stored.key not in put_aside
    ]
    return RepairReport(
        aside=aside,
        backup=done,
        verified=replace(
            verified,
            problems=[*left, *verified.problems],
            problem_count=verified.problem_count + len(left),
        ),
        seconds=monotonic() - started,
    )


async def _find_bad(
    database: Database, store: Store, name: str, on_progress: OnProgress
) -> tuple[dict[StoredSegment, str], Lineage | None]:
    """Returns the segments that must not be read, and why; and which backup the others are of."""
    there = await list_backup(store, name)
    if not there.segments and not there.aside:
        raise NotFound(f"{there.where()} holds no segments", hint="Make a backup of the source.")
    history = await LiveHistory.open(database)
    found = await inspect_all(
        there,
        history,
        limit=1,
        progress=Progress(start_t=0, end_t=there.end),
        on_progress=on_progress,
    )
    check_mostly_of(found, there, history)
    lineage = lineage_of(found, history.identity, await read_backup_json(there))
    bad = {stored: f"it {what}" for stored, what in foreign(found, history.identity, lineage).items()}
    found = [each for each in found if each.stored not in bad]
    _check_not_diverged(found, there, history)
    for each in found:
        if isinstance(each.error, NewerFormat):
            raise each.error
        if isinstance(each.error, UNREADABLE):
            keep = " (keep it, if you have that key)" if isinstance(each.error, OtherKey) else ""
            bad[each.stored] = f"{each.error}{keep}"
        elif each.source is not None and each.source != history.identity:
            bad[each.stored] = f"it is of another database: {each.source}"
        elif each.comparison is not None and each.comparison.differences.count:
            bad[each.stored] = _differs(each.comparison, history)
        elif each.comparison is not None and each.comparison.excised:
            held = each.comparison.excised
            bad[each.stored] = f"it has {held:,} datom{'' if held == 1 else 's'} that the source has excised"
        elif each.comparison is not None and each.comparison.stale:
            bad[each.stored] = f"it does not follow the last transaction of {history.where} before it"
    return bad, lineage


def _differs(comparison: SegmentComparison, source: LiveHistory) -> str:
    differences = comparison.differences
    more = f", and {differences.count - 1:,} more" if differences.count > 1 else ""
    return (
        f"it is sound and differs from {source.where}: {differences.first[0]}{more} (keep it, if the source "
        "may be the wrong one)"
    )


def _check_not_diverged(found: list[Inspected], there: Backup, source: LiveHistory) -> None:
    """The source must not have gone another way than the backup, for nothing shows which of the two is right.

    It has if the backup's newest transaction is not the source's, and where a database has no id by its
    engine also if most ids are other ones: then it was made again.
    """
    compared = [(each.comparison, each.stored.key) for each in found if each.comparison is not None]
    if not compared:
        return
    newest, key = max(compared, key=lambda each: each[0].last_t)
    same, other = (sum(ids) for ids in zip(*((c.same_ids, c.other_ids) for c, _ in compared), strict=True))
    made_again = other > same and not has_engines_id(source.identity)
    if made_again or newest.last_differs:
        last = f"t {newest.last_t}, the backup's newest, differs"
        reason = "most transactions show other ids" if made_again else last
        raise Conflict(
            f"{there.where()} and {source.where} have diverged: {reason}",
            hint=f"{ROLLED_BACK} Back it up under another `name`. If {key} is wrong, make an empty object "
            f"{aside_key(key)} beside it and run this again.",
        )


async def _put_aside(store: Store, name: str, bad: dict[StoredSegment, str], source: str) -> list[PutAside]:
    """Puts aside those that have been replaced, and those that never belonged to this backup."""
    there = await list_backup(store, name, without={stored.key for stored in bad})
    done = []
    for stored, reason in bad.items():
        if there.covers(stored.range) or not await there.was_ours(stored, source):
            await there.put_aside(stored, reason)
            done.append(PutAside(stored.key, reason))
    return done
