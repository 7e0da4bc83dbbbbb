"""Verify: proves that a backup is whole, or that a target has the history of its source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING

from asyncrestore.card import read_card, why_unusable
from asyncrestore.catalog import CARD, StoredSegment, find_backup, list_backup
from asyncrestore.compare import compare
from asyncrestore.datomic.base import Database
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import is_database_uri, parse_uri
from asyncrestore.differences import Differences
from asyncrestore.errors import (
    UNREADABLE,
    Conflict,
    DamageError,
    HistoryDiffers,
    NotAuthorized,
    NotFound,
    SegmentGap,
    Unavailable,
    UsageError,
)
from asyncrestore.excised import Excised
from asyncrestore.filters import make_filter
from asyncrestore.held import excised_in
from asyncrestore.history import LiveHistory, StoredHistory
from asyncrestore.jobs.inspection import broken_links, check_mostly_of, foreign, inspect_all, lineage_of
from asyncrestore.opening import as_database, as_history, as_source, as_store
from asyncrestore.progress import Progress
from asyncrestore.stores.base import Authenticates
from asyncrestore.target import check_filter, recorded_source
from asyncrestore.until import check_reaches, limit_history

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from asyncrestore.catalog import Backup
    from asyncrestore.excised import Excisions
    from asyncrestore.filters import Filter, FilteredAttribute
    from asyncrestore.history import History
    from asyncrestore.jobs.inspection import Inspected
    from asyncrestore.opening import AnyDatabase, AnyHistory
    from asyncrestore.progress import OnProgress
    from asyncrestore.rewrites import Rewrite
    from asyncrestore.stores.encrypted import Encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        checked: display name of what was verified.
        against: URI of the target it was compared with, if any.
        live: URI of the source it was compared with, if any.
        behind: how many transactions `live` has after the backup's end: the next backup copies them.
        ahead: how many transactions `against` has after the backup's end: they were not compared.
        end: the first t after what was verified.
        transactions: how many transactions were read and checked.
        datoms: how many datoms those transactions have.
        problems: descriptions of the first problems, at most `max_differences`.
        problem_count: how many problems there are in all.
        seconds: how long it took.
        filtered: what was left out and rewritten before comparing, by attribute.
        excised: what the source's requests for excision meant.
        notes: remarks that are not problems: segments put aside or superseded, overlaps, foreign objects,
            and what was excised in the source and is there all the same.
    """

    checked: str
    against: str | None = None
    live: str | None = None
    behind: int = 0
    ahead: int = 0
    end: int
    transactions: int = 0
    datoms: int = 0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    seconds: float = 0.0
    filtered: list[FilteredAttribute] = field(default_factory=list)
    excised: Excised = field(default_factory=Excised)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0

    def raise_for_problems(self) -> None:
        """Raises an error if anything is wrong.

        Raises:
            HistoryDiffers: there are problems; the message has their number and the first one.
        """
        if self.ok:
            return
        problems = f"{self.problem_count:,} problem{'' if self.problem_count == 1 else 's'}"
        if self.against is None:
            hint = "Run repair with the source: it puts damaged segments aside, and fills gaps."
            if self.live is not None:
                hint += " Where a sound segment differs, the source may be the wrong one: look at it first."
            raise HistoryDiffers(
                f"{self.checked} is damaged: {problems}, the first: {self.problems[0]}", hint=hint
            )
        raise HistoryDiffers(
            f"{self.against} differs from {self.checked}: {problems}, the first: {self.problems[0]}",
            hint="If it lacks the newest transactions alone, run restore: it continues. Otherwise do not use "
            "the target in the source's place: restore into a new database, and verify that.",
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
    keep_excised: bool = False,
    expect_t: int | None = None,
    max_differences: int = 10,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Verifies a backup by itself or with its source, or a target against a backup or a live source.

    A backup by itself: every segment from t 0 on is there, is what was written, and can be decoded. With its
    source: every transaction also has the same datoms as in the source's log. A target: every transaction has
    the same position, instant and datoms as in the source, with entity ids renamed one to one.

    A backup that ends before its source does, or before the target does, is not damaged: the report says how
    many transactions it is behind.

    Args:
        source: a store or, with `against`, also a database; open or as a URI.
        against: the target, a database restored from `source`, open or as a URI.
        live: the database that a backup is of, open or as a URI: its log is read and compared with the
            backup, transaction by transaction.
        name: name of the backup; required if the store holds several.
        exclude: the same as when the target was restored (see `restore`); the filtered history is expected.
        exclude_schema: the same as when the target was restored.
        rewrite: the same as when the target was restored.
        rewrite_key: the same as when the target was restored.
        until_t: the t at which the target must end (see `restore`). Default: the source's end.
        until_time: the time at which the target must end (see `restore`).
        keep_excised: the same as when the target was restored. Without it, what is excised in the source is
            not expected in the target, and is no difference if it is there: the report counts it.
        expect_t: the t that the backup must reach at least: what is missing at its end shows nowhere else.
        max_differences: how many problems the report describes; it counts them all.
        encryption: the store's key, if the store is encrypted.
        on_progress: called with the watermarks.

    Returns:
        The report. What is wrong with the data is in it, and is not raised.

    Raises:
        NotFound: the store, the backup or a database does not exist.
        UsageError: a URI is malformed, `name` is required, or options do not fit each other.
        Conflict: the target was restored from another source, with another filter, or not at all; or most of
            the backup's segments are of another database than `live`; or a key was given, and nothing in the
            backup is protected by one.
        NotAuthorized: the store refused the credentials; or the backup is encrypted or signed with another
            key, or most of it is encrypted, and no key was given. One segment of which that is true, beside
            others that can be read, is a problem in the report.
        RewriteFailed: a value cannot be rewritten.
        SegmentDamaged: a segment of the backup that a target is compared with cannot be used.
        SegmentGap: the backup that a target is compared with misses segments, or ends before `expect_t`.
        Unavailable: a segment was deleted meanwhile, and others replace it.
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
            check_reaches(whole.where, whole.end, expect_t)
            filter_ = await make_filter(
                whole, exclude=exclude, exclude_schema=exclude_schema, rewrite=rewrite, key=rewrite_key
            )
            wanted = await limit_history(whole, until_t, until_time)
            target = await as_database(connector, against)
            excisions = await whole.excisions()
            report = await _verify_target(
                wanted,
                excisions.keeping() if keep_excised else excisions,
                filter_,
                target,
                differences,
                on_progress or (lambda _: None),
            )
    elif isinstance(source, Database) or (isinstance(source, str) and is_database_uri(source)):
        uri = parse_uri(source).text if isinstance(source, str) else source.uri
        raise UsageError(
            f"{uri} is a database; there is nothing to compare it with",
            hint="Add --against TARGET.",
        )
    elif exclude or exclude_schema or rewrite or keep_excised or (until_t, until_time) != (None, None):
        raise UsageError(
            "Options to leave out, keep, rewrite or end early describe a target, and no target was given",
            hint="Add --against TARGET. A backup by itself is always verified whole.",
        )
    else:
        async with open_connector() as connector, as_store(source, encryption) as store:
            backup = await find_backup(store, name)
            try:
                check_reaches("it", backup.end, expect_t)
            except SegmentGap as exc:
                differences.add(str(exc))
            history = None if live is None else await LiveHistory.open(await as_source(connector, live))
            report = await _verify_backup(backup, history, differences, on_progress or (lambda _: None))
    return replace(report, seconds=monotonic() - started)


async def _verify_target(
    history: History,
    excisions: Excisions,
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
    # A live source cannot be behind its copy, and a history that ends early says where the copy must end.
    may_be_ahead = isinstance(history, StoredHistory)
    ahead = await compare(
        history,
        target,
        found=found,
        excisions=excisions,
        filter_=filter_,
        may_be_ahead=may_be_ahead,
        differences=differences,
        progress=progress,
        on_progress=on_progress,
    )
    return VerifyReport(
        checked=history.where,
        against=target.uri,
        ahead=ahead,
        end=history.end,
        transactions=progress.transactions,
        datoms=progress.datoms,
        problems=differences.first,
        problem_count=differences.count,
        filtered=filter_.done if filter_ else [],
        excised=excisions.done,
        notes=_held(target, excisions.done.held),
    )


def _held(target: Database, datoms: int) -> list[str]:
    """Describes what a target holds that is excised in its source."""
    if not datoms:
        return []
    note = (
        f"{target.uri} holds {datoms} datom{'' if datoms == 1 else 's'} that a request for excision covers: "
    )
    note += "it was restored before that, or with keep_excised. "
    return [note + "Restore into a new database, and delete this one."]


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
    card = await read_card(backup)
    lineage = lineage_of(found, source, card)
    others = foreign(found, source, lineage)
    problems = [f"{stored.key} {what}" for stored, what in others.items()]
    infos = [each.info for each in found if each.info is not None and each.source == source]
    if card and (lineage not in {card, None} or not (lineage or all(map(card.allows, infos)))):
        problems.append(f"{CARD} is of another backup ({card.backup}): delete it, if the segments are right")
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
    card = await why_unusable(backup)
    return [
        *([f"{CARD} cannot be used, and nobody needs it to read: {card}"] if card else []),
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
