"""Reads all segments of a backup, and compares them with their source: what verify and repair begin with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from asyncrestore.errors import (
    OTHERWISE_PROTECTED,
    UNREADABLE,
    Conflict,
    DamageError,
    NotFound,
    OtherKey,
    SegmentDamaged,
    Unprotected,
)
from asyncrestore.excision.excised import Excisions
from asyncrestore.history.backup_json import read_backup_json
from asyncrestore.history.bootstrap import MADE_AGAIN
from asyncrestore.history.catalog import SEGMENTS_AT_ONCE
from asyncrestore.history.still_excised import excisions_of
from asyncrestore.segments.lineage import Lineage, is_foreign
from asyncrestore.stores.base import Authenticates
from asyncrestore.tasks import each
from asyncrestore.verifying.compare_source import compare_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncrestore.errors import AsyncRestoreError
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.history.live import LiveHistory
    from asyncrestore.model.log import Transaction
    from asyncrestore.progress import OnProgress, Progress
    from asyncrestore.segments.document import SegmentInfo
    from asyncrestore.verifying.compare_source import SegmentComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What was found of a segment.

    Attributes:
        stored: the segment.
        source: identity of the database that it is of; None if it cannot be read.
        info: its metadata; None if it cannot be read.
        signed: whether it is signed.
        last: its last transaction before the next segment to read begins, None if there is none.
        error: why it cannot be read, or that it is gone since the listing.
        comparison: how it differs from its source, if it was compared with that.
    """

    stored: StoredSegment
    source: str | None = None
    info: SegmentInfo | None = None
    signed: bool = False
    last: Transaction | None = None
    error: SegmentDamaged | OtherKey | Unprotected | NotFound | None = None
    comparison: SegmentComparison | None = None


async def inspect_all(
    backup: Backup, source: LiveHistory | None, *, limit: int, progress: Progress, on_progress: OnProgress
) -> list[Inspected]:
    """Reads and checks every segment, superseded ones too, several at once; returns them in order.

    Args:
        backup: as it was listed.
        source: the database that it is of, to compare the segments with; None to read them only.
        limit: how many differences of a segment are described.
        progress: moved on with each segment.
        on_progress: called with `progress`.

    Raises:
        OtherKey: what the store was opened with is not what the backup is protected by (`check_key`).
        Unprotected: the same.
    """
    excisions = await _excisions(backup, source)
    ends_of = {before: after.range.start for before, after in pairwise(backup.chain())}

    async def inspect(stored: StoredSegment) -> Inspected:
        try:
            segment, last = await backup.inspect(stored, ends_of.get(stored))
        except (NotFound, *UNREADABLE) as error:
            return Inspected(stored=stored, error=error)
        finally:
            progress.committed_t = max(progress.committed_t, stored.range.end)
            on_progress(progress)
        info, comparison = segment.info, None
        if source is not None and source.identity == info.source:
            comparison = await compare_segment(segment, source, excisions, limit)
        progress.transactions += info.transactions
        progress.datoms += info.datoms
        return Inspected(
            stored=stored,
            source=info.source,
            info=info,
            signed=segment.signed,
            last=last,
            comparison=comparison,
        )

    found = await each(backup.segments, inspect, at_once=SEGMENTS_AT_ONCE)
    await check_key(backup, [one.error for one in found])
    return found


async def check_key(backup: Backup, errors: Sequence[AsyncRestoreError | None]) -> None:
    """Checks that a backup is protected by the key that its store was opened with, or by none if by none.

    With a key, one object that can be read with it shows that: nobody without the key has made it. No more is
    asked for, because whoever may write to the store can add as many others as they like. Without a key, what
    can be read shows nothing, because anybody may have made it: more segments must be readable than not. Or a
    planted segment and a forgotten key would make repair write in clear what is encrypted.

    Args:
        backup: as it was listed.
        errors: for each of its segments, why it cannot be read; None if it can.

    Raises:
        OtherKey: it is not; this is the first of the errors of its kind.
        Unprotected: the same.
    """
    refused = [error for error in errors if isinstance(error, OTHERWISE_PROTECTED)]
    read = sum(error is None for error in errors)
    if not refused:
        return
    if isinstance(backup.store, Authenticates):
        fits = read > 0 or await read_backup_json(backup) is not None
    else:
        fits = read > len(refused)
    if not fits:
        raise refused[0]


async def check_key_of(backup: Backup) -> None:
    """Reads every segment for the sake of `check_key`; raises what that raises."""

    async def why_not(stored: StoredSegment) -> AsyncRestoreError | None:
        try:
            await backup.read(stored)
        except (NotFound, *UNREADABLE) as error:
            return error
        return None

    await check_key(backup, await each(backup.segments, why_not, at_once=SEGMENTS_AT_ONCE))


def check_mostly_of(found: list[Inspected], there: Backup, source: LiveHistory) -> None:
    """Checks that most of the readable segments are of the source; `found` is what `inspect_all` returned.

    Raises:
        Conflict: most are of another database.
    """
    sources = [each.source for each in found if each.source is not None]
    others = [each for each in sources if each != source.identity]
    if others and 2 * len(others) > len(sources):
        raise Conflict(
            f"{there.where()} is a backup of another database ({others[0]}) than "
            f"{source.where} ({source.identity})",
            hint=f"{MADE_AGAIN} Give the database that it was made of, or the backup's `name`.",
        )


def lineage_of(found: Iterable[Inspected], source: str | None, named: Lineage | None) -> Lineage | None:
    """Returns which backup most segments say that they are of; None if none says it.

    Of several that as many say, it is the one that the object beside them names, else the last one.

    Args:
        found: the segments, in order.
        source: identity of the database; segments of another one do not count.
        named: what the object beside them says.
    """
    infos = [each.info for each in found if each.info is not None and each.source == source]
    votes = Counter(lineage for info in infos if (lineage := Lineage.of(info)))
    last = {lineage: number for number, info in enumerate(infos) if (lineage := Lineage.of(info))}
    return max(votes, key=lambda each: (votes[each], each == named, last[each]), default=None)


def foreign(
    found: Iterable[Inspected], source: str | None, lineage: Lineage | None
) -> dict[StoredSegment, str]:
    """Returns the segments of the source that are not of this backup, and what they say."""
    return {
        each.stored: is_foreign(each.info, lineage)
        for each in found
        if lineage and each.info and each.source == source and not lineage.allows(each.info)
    }


def broken_links(backup: Backup, found: Iterable[Inspected]) -> list[str]:
    """Describes each segment to read that does not follow the one before it, where both can be read."""
    links, infos = backup.linked(), {one.stored: (one.info, one.last) for one in found if one.info}
    chain = [(number, *infos[stored]) for number, stored in enumerate(backup.chain()) if stored in infos]
    for number, _, last in chain:
        links.set(number, last)
    problems = []
    for number, info, _ in chain:
        try:
            links.check(number, info)
        except DamageError as exc:
            problems.append(str(exc))
    return problems


async def _excisions(backup: Backup, source: LiveHistory | None) -> Excisions:
    """Returns what the source's requests for excision cover."""
    if source is None or not source.requests:
        return Excisions({})
    return await excisions_of(backup, source)
