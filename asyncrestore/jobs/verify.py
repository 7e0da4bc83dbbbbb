"""Verify: proves that a backup is whole, or that a target has a source's history."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from asyncrestore.catalog import StoredSegment, find_backup, list_backup
from asyncrestore.compare import Differences, compare
from asyncrestore.datomic.base import Database
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import is_database_uri, parse_uri
from asyncrestore.errors import (
    Conflict,
    DamageError,
    HistoryDiffers,
    NotAuthorized,
    NotFound,
    SegmentDamaged,
    Unavailable,
    UsageError,
)
from asyncrestore.filters import make_filter
from asyncrestore.history import LiveHistory
from asyncrestore.opening import as_database, as_history, as_store
from asyncrestore.progress import Progress
from asyncrestore.target import check_filter, recorded_source
from asyncrestore.until import limit_history

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from asyncrestore.catalog import Backup
    from asyncrestore.filters import Filter, FilteredAttribute
    from asyncrestore.history import History
    from asyncrestore.opening import AnyDatabase, AnyHistory
    from asyncrestore.progress import OnProgress
    from asyncrestore.rewrites import Rewrite
    from asyncrestore.stores.encrypted import Encryption


@dataclass(slots=True)
class VerifyReport:
    """What verifying found.

    Attributes:
        checked: what was verified, for people.
        against: the target it was compared with, if any.
        end: the first t after what was verified.
        transactions: how many were read and checked.
        datoms: in those transactions.
        problems: what is wrong, the first few in words.
        problem_count: how many in all.
        seconds: how long it took.
        filtered: what was left out and rewritten before comparing, by attribute.
        notes: what is no problem, but should be known of a backup: segments put aside or superseded,
            overlaps, foreign objects.
    """

    checked: str
    against: str | None
    end: int
    transactions: int = 0
    datoms: int = 0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    seconds: float = 0.0
    filtered: list[FilteredAttribute] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0

    def raise_for_problems(self) -> None:
        """Raises if anything is wrong.

        Raises:
            HistoryDiffers: with the first problem.
        """
        if not self.ok:
            raise HistoryDiffers(
                f"{self.checked}: {self.problem_count} problems, the first: {self.problems[0]}"
            )


async def verify(
    source: AnyHistory,
    *,
    against: AnyDatabase | None = None,
    live: AnyDatabase | None = None,
    name: str | None = None,
    exclude: Collection[str] = (),
    exclude_schema: bool = False,
    rewrite: Mapping[str, Rewrite] | None = None,
    rewrite_key: bytes | None = None,
    until_t: int | None = None,
    until_time: datetime | None = None,
    max_differences: int = 10,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Verifies a backup by itself, or a target against a backup or a live source.

    By itself: every segment is there from t 0 on, is what was written, and can be decoded. Against a target:
    every transaction has the same place, instant and datoms, with entity ids renamed one to one.

    Args:
        source: a store or, with `against`, also a database; open or as a URI.
        against: the target, a database restored from `source`.
        live: for a backup by itself, the database that it is of: nothing of that may be missing, also at
            the end.
        name: of the backup, where the store holds several.
        exclude: as the target was restored with (see `restore`): the filtered history is then expected.
        exclude_schema: likewise.
        rewrite: likewise.
        rewrite_key: likewise.
        until_t: where the target must end (see `restore`), if not at the source's end.
        until_time: likewise, as a time.
        max_differences: how many problems are told in words.
        encryption: the store's key, where it is encrypted.
        on_progress: is told the watermarks.

    Returns:
        The report; what is wrong with the data is in it, and not raised.

    Raises:
        NotFound: there is no such backup or database. UsageError: a URI is wrong, or a name is needed.
        Conflict: the target was restored from another source, or not at all, or filtered in another way.
        RewriteFailed: a value cannot be rewritten.
        SegmentDamaged, SegmentGap: the backup that a target is compared with cannot be used.
    """
    if max_differences < 1:
        raise UsageError("max_differences must be at least 1")
    if live is not None and against is not None:
        raise UsageError("live is for a backup by itself", hint="Verify the backup and the target in turn.")
    started = monotonic()
    differences = Differences(max_differences)
    if against is not None:
        async with (
            open_connector() as connector,
            as_history(connector, source, name, encryption, until_t) as whole,
        ):
            filter_ = await make_filter(
                whole, exclude=exclude, exclude_schema=exclude_schema, rewrite=rewrite, key=rewrite_key
            )
            wanted = await limit_history(whole, until_t, until_time)
            target = await as_database(connector, against)
            report = await _verify_target(
                wanted, filter_, target, differences, on_progress or (lambda _: None)
            )
    elif isinstance(source, Database) or (isinstance(source, str) and is_database_uri(source)):
        uri = parse_uri(source).text if isinstance(source, str) else source.uri
        raise UsageError(
            f"{uri} is a database; there is nothing to compare it with",
            hint="Add --against TARGET.",
        )
    elif exclude or exclude_schema or rewrite or until_t is not None or until_time is not None:
        raise UsageError(
            "What to leave out, to rewrite, or where to end says what a target holds, and none was given",
            hint="Add --against TARGET. A backup by itself is always verified whole.",
        )
    else:
        async with open_connector() as connector, as_store(source, encryption) as store:
            backup = await find_backup(store, name)
            history = None if live is None else await LiveHistory.open(await as_database(connector, live))
            report = await _verify_backup(backup, history, differences, on_progress or (lambda _: None))
    report.problems, report.problem_count = differences.first, differences.count
    report.seconds = monotonic() - started
    return report


async def _verify_target(
    history: History,
    filter_: Filter | None,
    target: Database,
    differences: Differences,
    on_progress: OnProgress,
) -> VerifyReport:
    found = await LiveHistory.open(target)
    restored_from = await recorded_source(target, found.bootstrap_t)
    if restored_from != history.identity:
        was = f"was restored from another database ({restored_from})" if restored_from else "was not restored"
        raise Conflict(f"{target.uri} {was}; {history.where} is of {history.identity}")
    await check_filter(target, found.bootstrap_t, filter_.rules if filter_ else ())
    progress = Progress(start_t=history.bootstrap_t + 1, end_t=history.end)
    await compare(
        history,
        target,
        found=found,
        filter_=filter_,
        differences=differences,
        progress=progress,
        on_progress=on_progress,
    )
    report = VerifyReport(history.where, target.uri, history.end, progress.transactions, progress.datoms)
    report.filtered = filter_.done if filter_ else []
    return report


async def _verify_backup(
    backup: Backup, live: LiveHistory | None, differences: Differences, on_progress: OnProgress
) -> VerifyReport:
    for problem in _missing(backup, live):
        differences.add(problem)
    report = VerifyReport(backup.where(), None, backup.end, notes=await _notes(backup))
    progress = Progress(start_t=0, end_t=backup.end)
    source = live.identity if live else None
    for stored in backup.segments:
        try:
            info = await backup.inspect(stored)
        except SegmentDamaged as exc:
            differences.add(str(exc))
            continue
        except NotFound as exc:
            if await _is_missed(backup, stored):
                differences.add(str(exc))
            continue
        finally:
            progress.committed_t = stored.range.end
            on_progress(progress)
        progress.transactions += info.transactions
        progress.datoms += info.datoms
        source = source or info.source
        if info.source != source:
            differences.add(f"{stored.key} is of another database ({info.source}) than the others ({source})")
    for key in await _hidden(backup, source):
        differences.add(f"{key} was put aside, and no segment holds what it held")
    report.transactions, report.datoms = progress.transactions, progress.datoms
    return report


async def _is_missed(backup: Backup, gone: StoredSegment) -> bool:
    """Whether a segment that is gone since the listing was needed: compacted ones may be deleted any time."""
    if gone in backup.superseded():
        return False
    if (await list_backup(backup.store, backup.name)).covers(gone.range):
        raise Unavailable(
            f"{backup.where(gone.key)} was deleted while the backup was being verified; others replace it",
            hint="Run the same command again.",
        )
    return True


async def _hidden(backup: Backup, source: str | None) -> list[str]:
    """Keys put aside beyond the last segment: no gap shows that something is lost there."""
    aside = [StoredSegment.from_key(key) for key in backup.aside]
    beyond = [stored for stored in aside if stored and stored.range.end > backup.end]
    return [stored.key for stored in beyond if source and await backup.was_ours(stored, source)]


def _missing(backup: Backup, live: LiveHistory | None) -> Iterator[str]:
    """Each gap in words, with where it is."""
    for gap in backup.gaps(live.end if live else None):
        place = "the head" if gap.start == 0 else "the tail" if gap.start == backup.end else "the middle"
        yield f"no segment holds t {gap.start} to {gap.end - 1} ({place})"
    if live and backup.end > live.end:
        yield f"it goes up to t {backup.end - 1}, but {live.where} ends at t {live.end - 1}"


async def _notes(backup: Backup) -> list[str]:
    """What is no problem, but should be known."""
    return [
        *[f"{key} was put aside: {await _why_aside(backup, key)}" for key in backup.aside],
        *[f"{segment.key} is superseded by others" for segment in backup.superseded()],
        *[f"t {each.start} to {each.end - 1} are in two segments" for each in backup.overlaps()],
        *[f"{key} is no segment" for key in backup.foreign],
    ]


async def _why_aside(backup: Backup, key: str) -> str:
    """That it was put aside is no problem, so that nobody can tell why is none either."""
    try:
        return await backup.why_aside(key)
    except (DamageError, NotAuthorized, NotFound, Conflict) as exc:
        return f"why cannot be read: {exc}"
