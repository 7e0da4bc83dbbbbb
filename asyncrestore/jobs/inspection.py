"""Reads all segments of a backup, and compares them with their source: what verify and repair begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.bootstrap import MADE_AGAIN
from asyncrestore.compare_source import compare_segment
from asyncrestore.errors import Conflict, NotFound, SegmentDamaged
from asyncrestore.excised import Excisions
from asyncrestore.held import excisions_of
from asyncrestore.tasks import each

if TYPE_CHECKING:
    from asyncrestore.catalog import Backup, StoredSegment
    from asyncrestore.compare_source import SegmentComparison
    from asyncrestore.history import LiveHistory
    from asyncrestore.progress import OnProgress, Progress

SEGMENTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What was found of a segment.

    Attributes:
        stored: the segment.
        source: identity of the database that it is of; None if it cannot be read.
        error: why it cannot be read, or that it is gone since the listing.
        comparison: how it differs from its source, if it was compared with that.
    """

    stored: StoredSegment
    source: str | None = None
    error: SegmentDamaged | NotFound | None = None
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
    """
    excisions = await _excisions(backup, source)

    async def inspect(stored: StoredSegment) -> Inspected:
        try:
            segment = await backup.inspect(stored)
        except (SegmentDamaged, NotFound) as error:
            return Inspected(stored=stored, error=error)
        finally:
            progress.committed_t = max(progress.committed_t, stored.range.end)
            on_progress(progress)
        info, comparison = segment.info, None
        if source is not None and source.identity == info.source:
            comparison = await compare_segment(segment, source, excisions, limit)
        progress.transactions += info.transactions
        progress.datoms += info.datoms
        return Inspected(stored=stored, source=info.source, comparison=comparison)

    return await each(backup.segments, inspect, at_once=SEGMENTS_AT_ONCE)


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
            hint=f"{MADE_AGAIN} Give the database that it was made of, or the backup's --name.",
        )


async def _excisions(backup: Backup, source: LiveHistory | None) -> Excisions:
    """Returns what the source's requests for excision cover."""
    if source is None or not source.requests:
        return Excisions({})
    return await excisions_of(backup, source)
