"""Proves that a backup is whole, by itself or beside its source."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import (
    UNREADABLE,
    Conflict,
    DamageError,
    NotAuthorized,
    NotFound,
    SegmentGap,
    Unavailable,
)
from asyncrestore.history.backup_json import read_backup_json, why_unusable
from asyncrestore.history.catalog import BACKUP_JSON, StoredSegment, find_backup, list_backup
from asyncrestore.history.live import LiveHistory
from asyncrestore.history.point_in_time import check_reaches
from asyncrestore.history.still_excised import excised_in
from asyncrestore.jobs.arguments import integers, texts
from asyncrestore.jobs.inspection import broken_links, check_mostly_of, foreign, inspect_all, lineage_of
from asyncrestore.jobs.opening import as_source, as_store
from asyncrestore.jobs.verified import VerifyReport
from asyncrestore.progress import Progress
from asyncrestore.stores.base import Authenticates
from asyncrestore.verifying.differences import Differences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.excision.excised import Excised
    from asyncrestore.history.catalog import Backup
    from asyncrestore.jobs.inspection import Inspected
    from asyncrestore.jobs.opening import AnyDatabase, AnyStore
    from asyncrestore.progress import OnProgress
    from asyncrestore.stores.encrypted import Encryption


async def verify_backup(
    store: AnyStore,
    *,
    live: AnyDatabase | None = None,
    name: str | None = None,
    expect_t: int | None = None,
    max_differences: int = 10,
    read_rate: int | None = None,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Checks that every segment from t 0 on is there, is what was written, and can be decoded.

    With its source every transaction also has the same datoms as in the source's log. A backup that ends
    before its source does is not damaged: the report says how many transactions it is behind.

    Args:
        store: a store, open or as a URI; or the path of a directory.
        live: the database that the backup is of, open or as a URI: its log is read and compared with the
            backup, transaction by transaction.
        name: name of the backup; required if the store holds several.
        expect_t: the t that the backup must reach at least: what is missing at its end shows nowhere else.
        max_differences: how many problems the report describes; it counts them all.
        read_rate: at most so many datoms of the log of `live` are read a second. Default: as fast as it goes.
        encryption: the store's key, if the store is encrypted.
        on_progress: called with the watermarks.

    Returns:
        The report. What is wrong with the data is in it, and is not raised.

    Raises:
        NotFound: the store, the backup or `live` does not exist.
        UsageError: a URI is malformed, `name` is required, or an argument is of another type.
        Conflict: most of the backup's segments are of another database than `live`; or a key was given, and
            nothing in the backup is protected by one.
        NotAuthorized: the store refused the credentials; or the backup is encrypted or signed with another
            key, or most of it is encrypted, and no key was given. One segment of which that is true, beside
            others that can be read, is a problem in the report.
        Unavailable: a segment was deleted meanwhile, and others replace it.
    """
    texts(name=name)
    integers(least=1, max_differences=max_differences)
    integers(or_none=True, expect_t=expect_t)
    integers(least=1, or_none=True, read_rate=read_rate)
    started = monotonic()
    differences = Differences(max_differences)
    async with open_connector() as connector, as_store(store, encryption) as opened:
        backup = await find_backup(opened, name)
        try:
            check_reaches("it", backup.end, expect_t)
        except SegmentGap as exc:
            differences.add(str(exc))
        source = (
            None if live is None else await as_source(connector, live, argument="live", read_rate=read_rate)
        )
        history = None if source is None else await LiveHistory.open(source)
        report = await _verify_backup(backup, history, differences, on_progress or (lambda _: None))
    return replace(report, seconds=monotonic() - started)


async def _verify_backup(
    backup: Backup, live: LiveHistory | None, differences: Differences, on_progress: OnProgress
) -> VerifyReport:
    for problem in _missing(backup, live):
        differences.add(problem)
    progress = Progress(start_t=0, end_t=backup.end)
    source = live.identity if live else None
    segments = await inspect_all(
        backup, live, limit=differences.limit, progress=progress, on_progress=on_progress
    )
    if live is not None:
        check_mostly_of(segments, backup, live)
    excised = await excised_in(backup, live)
    notes = [*await _notes(backup), *_excised_notes(excised)]
    for found in segments:
        if found.source is None:
            if isinstance(found.error, UNREADABLE) or await _is_missed(backup, found.stored):
                differences.add(str(found.error))
            continue
        source = source or found.source
        if found.source != source:
            differences.add(
                f"{found.stored.key} is of another database ({found.source}) than the others ({source})"
            )
        if found.comparison is not None:
            differences.merge(found.comparison.differences)
    for problem in await _strangers(backup, segments, source):
        differences.add(problem)
    for key in await _hidden(backup, source):
        differences.add(f"{key} was put aside, and no segment holds what it held")
    return VerifyReport(
        checked=backup.where(),
        live=live.where if live else None,
        behind=await live.count_from(backup.end) if live else 0,
        end=backup.end,
        transactions=progress.transactions,
        datoms=progress.datoms,
        problems=differences.first,
        problem_count=differences.count,
        excised=excised,
        notes=[*notes, *_trust(backup, signed=any(each.signed for each in segments))],
    )


async def _strangers(backup: Backup, found: list[Inspected], source: str | None) -> list[str]:
    """Describes what is of another backup of the same database, and what does not follow."""
    named = await read_backup_json(backup)
    lineage = lineage_of(found, source, named)
    others = foreign(found, source, lineage)
    problems = [f"{stored.key} {what}" for stored, what in others.items()]
    infos = [each.info for each in found if each.info is not None and each.source == source]
    if named and (lineage not in {named, None} or not (lineage or all(map(named.allows, infos)))):
        problems.append(
            f"{BACKUP_JSON} is of another backup ({named.backup}): delete it, if the segments are right"
        )
    ours = [each for each in found if each.source == source and each.stored not in others]
    return [*problems, *broken_links(backup, ours)]


def _trust(backup: Backup, *, signed: bool) -> list[str]:
    """Says how far a backup that is whole can be trusted."""
    if isinstance(backup.store, Authenticates):
        return list(backup.store.remarks())
    if signed:
        return ["it is signed, and no key was given: the signatures were not checked"]
    return [
        "it is neither encrypted nor signed: digests show accidents, not what somebody changed on purpose"
    ]


def _excised_notes(excised: Excised) -> list[str]:
    """Describes the segments that hold what the source was asked to excise, and what to do about them."""
    if not excised.segments:
        return []
    held = f"{excised.held:,} datom{'' if excised.held == 1 else 's'}"
    note = (
        f"requests for excision cover {held} in {', '.join(excised.segments)}. Once the source has carried "
    )
    return [note + "them out, run repair with it, then delete NAME --superseded --yes."]


async def _is_missed(backup: Backup, gone: StoredSegment) -> bool:
    """Returns whether a segment that is gone since the listing was needed.

    Superseded ones may be deleted at any time.
    """
    if gone in backup.superseded():
        return False
    if (await list_backup(backup.store, backup.name)).covers(gone.range):
        raise Unavailable(
            f"{backup.where(gone.key)} was deleted while the backup was being verified; others replace it",
            hint="Run the same command again.",
        )
    return True


async def _hidden(backup: Backup, source: str | None) -> list[str]:
    """Returns the keys put aside beyond the last segment: no gap shows that something is lost there."""
    aside = [StoredSegment.from_key(key) for key in backup.aside]
    beyond = [stored for stored in aside if stored and stored.range.end > backup.end]
    return [stored.key for stored in beyond if source and await backup.was_ours(stored, source)]


def _missing(backup: Backup, live: LiveHistory | None) -> Iterator[str]:
    """Describes each gap: which t are missing, and whether at the head or in the middle.

    A backup that ends before its source does is not damaged, only behind.
    """
    for gap in backup.gaps():
        place = "the head" if gap.start == 0 else "the middle"
        yield f"no segment holds t {gap.start} to {gap.end - 1} ({place})"
    if live and backup.end > live.end:
        yield f"it goes up to t {backup.end - 1}, but {live.where} ends at t {live.end - 1}"


async def _notes(backup: Backup) -> list[str]:
    """Describes what is not a problem, but worth knowing."""
    named = await why_unusable(backup)
    return [
        *([f"{BACKUP_JSON} cannot be used, and nobody needs it to read: {named}"] if named else []),
        *[f"{key} was put aside: {await _why_aside(backup, key)}" for key in backup.aside],
        *[f"{segment.key} is superseded by others" for segment in backup.superseded()],
        *[f"t {each.start} to {each.end - 1} are in two segments" for each in backup.overlaps()],
        *[f"{key} is not a segment" for key in backup.foreign],
    ]


async def _why_aside(backup: Backup, key: str) -> str:
    """Returns the reason that `repair` stored beside a segment that it put aside.

    A segment put aside is not a problem, so a reason that cannot be read is not one either.
    """
    try:
        return await backup.why_aside(key)
    except (DamageError, NotAuthorized, NotFound, Conflict) as exc:
        return f"the reason cannot be read: {exc}"
