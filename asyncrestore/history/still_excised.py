"""Finds the segments of a backup that hold what its source was asked to excise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import OTHERWISE_PROTECTED, DamageError, NotFound
from asyncrestore.excision.excised import Excised
from asyncrestore.history.scan import by_t, covered_in
from asyncrestore.history.stored import StoredHistory

if TYPE_CHECKING:
    from asyncrestore.excision.excised import Excisions
    from asyncrestore.history.catalog import Backup
    from asyncrestore.history.live import LiveHistory
    from asyncrestore.segments.segment import Segment


async def excised_in(backup: Backup, live: LiveHistory | None = None) -> Excised:
    """Returns how many datoms that a request for excision covers each segment holds.

    Superseded segments count as well: they are there until they are deleted. A segment that cannot be used is
    passed over. Nothing is found while the first one cannot.

    Args:
        backup: to read; all of it, if there is a request.
        live: its source, which may have been asked since the backup was made.
    """
    found = Excised()
    try:
        excisions = await excisions_of(backup, live)
    except (DamageError, NotFound, *OTHERWISE_PROTECTED):
        return found
    found.requests = len(excisions.requests)
    if excisions.cover_nothing:
        return found
    for stored in backup.segments:
        try:
            held = await to_thread.run_sync(_count, await backup.read(stored), excisions)
        except (DamageError, NotFound, *OTHERWISE_PROTECTED):
            continue
        if held:
            found.held += held
            found.segments.append(stored.key)
    return found


async def excisions_of(backup: Backup, live: LiveHistory | None) -> Excisions:
    """Returns what the requests of a backup's source cover, or without it those in the backup.

    Raises:
        SegmentDamaged: the first segment cannot be used.
        OtherKey: it is encrypted or signed with another key.
        Unprotected: it is not encrypted or signed, and a key was given.
        NotFound: it is gone.
    """
    if live is not None:
        return await covered_in(backup, live.base, await by_t(live, live.requests))
    return await StoredHistory(backup, await backup.read(backup.chain()[0])).excisions()


def _count(segment: Segment, excisions: Excisions) -> int:
    return sum(map(excisions.count, segment.chunks()))
