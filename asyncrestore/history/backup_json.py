"""The object in which a backup says which one it is, beside its segments.

Segments say it themselves, so nobody needs the object to read a backup. Those that write the first segments
at the same time agree by it: it is created once, and whoever is late reads the winner's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from asyncrestore.errors import OTHERWISE_PROTECTED, Conflict, DamageError, NotAuthorized, NotFound, OtherKey
from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.limits import MAX_REASON_BYTES, max_segment_bytes
from asyncrestore.segments.lineage import Lineage
from asyncrestore.stores.base import Authenticates
from asyncrestore.stores.cipher import refuse_encrypted

if TYPE_CHECKING:
    from asyncrestore.history.catalog import Backup
    from asyncrestore.segments.document import SegmentInfo

_DELETE = "Delete it: only a backup that is begun needs it."
_UNUSABLE = DamageError, Conflict, NotFound, NotAuthorized


async def read_backup_json(backup: Backup) -> Lineage | None:
    """Returns what the object says; None if there is none, or it cannot be used."""
    if backup.has_backup_json:
        with suppress(*_UNUSABLE):
            return await _read(backup)
    return None


async def why_unusable(backup: Backup) -> str:
    """Returns why the object cannot be used; an empty text if it can, or there is none."""
    if backup.has_backup_json:
        try:
            await _read(backup)
        except _UNUSABLE as exc:
            return str(exc)
    return ""


async def _read(backup: Backup) -> Lineage:
    try:
        with max_segment_bytes(MAX_REASON_BYTES):
            data = await backup.store.read(backup.name, BACKUP_JSON)
        refuse_encrypted(data, backup.where(BACKUP_JSON))
    except OTHERWISE_PROTECTED as exc:
        exc.hint += f" If somebody else made it: {_DELETE}"
        raise
    return Lineage.from_json(data)


async def check_backup_json(backup: Backup, newest: SegmentInfo | None) -> Lineage | None:
    """Returns which backup this is, as its newest segment and the object say; None if neither does.

    Raises:
        Conflict: they say different things.
        OtherKey: the object is encrypted, and the store was opened without a key. A segment that is not
            encrypted may have been planted, and nothing must be written in clear after it.
    """
    own = newest and Lineage.of(newest)
    try:
        named = await _read(backup) if backup.has_backup_json else None
    except _UNUSABLE as exc:
        if isinstance(exc, OtherKey) and not isinstance(backup.store, Authenticates):
            raise
        named = None
    if newest is None or named is None or named.allows(newest):
        return own or named
    is_of = own.backup if own else "no backup that it names"
    raise Conflict(
        f"{backup.where()}: its newest segment, {newest.range.key}, is of {is_of}, and {BACKUP_JSON} says "
        f"that this is the backup {named.backup}",
        hint="One of the two was laid there. Run verify: it names each segment of another backup, and "
        f"repair with the source replaces them. If {BACKUP_JSON} is wrong, delete it.",
    )


async def agree(backup: Backup, lineage: Lineage | None) -> Lineage:
    """Returns which backup this is, for segments to be written; all that write at the same time get the same.

    Args:
        backup: as it was listed.
        lineage: what `check_backup_json` returned.

    Raises:
        Conflict: somebody else has begun another backup here meanwhile.
        DamageError: only the object says it, and it cannot be read.
        OtherKey: the same, because it is encrypted or signed with another key than the one given.
        Unprotected: the same, because it is not signed, and a key was given.
    """
    mine = lineage or Lineage.new(backup.end)
    if backup.has_backup_json and lineage is not None:
        return lineage
    if await backup.store.publish(backup.name, BACKUP_JSON, mine.to_json()):
        return mine
    try:
        winner = await _read(backup)
    except DamageError as exc:
        raise DamageError(f"{backup.where(BACKUP_JSON)} is damaged: {exc}", hint=_DELETE) from exc
    if lineage is not None and winner != lineage:
        where = backup.where(BACKUP_JSON)
        raise Conflict(
            f"{where} is of the backup {winner.backup}, the segments are of {lineage.backup}",
            hint="Another backup was begun in the same place. Run verify.",
        )
    return winner
