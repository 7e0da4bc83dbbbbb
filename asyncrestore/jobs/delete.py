"""Delete: removes a backup, or only those of its segments that nobody reads any more."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.errors import Conflict, NotFound, SegmentDamaged, SegmentGap, UsageError
from asyncrestore.history.backup_json import read_backup_json
from asyncrestore.history.catalog import BACKUP_JSON, SEGMENTS_AT_ONCE, StoredSegment, aside_key, list_backup
from asyncrestore.jobs.arguments import wrong
from asyncrestore.jobs.opening import as_store
from asyncrestore.segments.lineage import OneBackup
from asyncrestore.stores.base import Deletes
from asyncrestore.tasks import each

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncrestore.history.catalog import Backup
    from asyncrestore.jobs.opening import AnyStore
    from asyncrestore.segments.document import SegmentInfo
    from asyncrestore.stores.encrypted import Encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteReport:
    """What was deleted or, without confirmation, would be.

    Attributes:
        store: the store's URI.
        name: name of the backup.
        confirmed: whether the objects were deleted.
        deleted: keys of the objects, in the order of deletion.
        bytes: size of the segments among them.
        kept: keys of objects that stay: those that are not segments and, with `superseded`, segments that
            were put aside and that nothing replaces.
    """

    store: str
    name: str
    confirmed: bool
    deleted: list[str]
    bytes: int
    kept: list[str]


async def delete(
    store: AnyStore,
    name: str,
    *,
    superseded: bool = False,
    confirmed: bool = False,
    encryption: Encryption | None = None,
) -> DeleteReport:
    """Deletes a backup, or only those of its segments that nobody reads.

    A backup is deleted from its beginning on, so that one that was deleted in part can be recognised: a
    restore refuses it. Running `delete` again deletes the rest.

    Args:
        store: a store, open or as a URI.
        name: name of the backup.
        superseded: delete only the segments that others cover, put aside or not. The remaining ones are
            verified first, and must be whole. A restore that runs at the same time may have to be run again.
        confirmed: if False, nothing is deleted, and the report says what would be.
        encryption: the store's key, if the store is encrypted; only `superseded` needs it.

    Raises:
        NotFound: the store or the backup does not exist.
        UsageError: a URI is malformed, or this kind of store cannot delete.
        SegmentDamaged: with `superseded`, a segment that would remain is damaged; nothing was deleted.
        DamageError: with `superseded`, one does not follow the one before it; nothing was deleted.
        SegmentGap: with `superseded`, the remaining segments have a gap, or none would remain; nothing was
            deleted.
        Conflict: with `superseded`, the segments are of several databases or backups, or another command
            changed the backup meanwhile; nothing was deleted.
        NotAuthorized: the credentials do not allow it. There is no report of what was deleted before.
    """
    if not isinstance(name, str):
        raise wrong("name", "a text", name)
    async with as_store(store, encryption) as opened:
        if not isinstance(opened, Deletes):
            raise UsageError(f"{opened.uri} is a store that cannot delete")
        backup = await list_backup(opened, name)
        if not (backup.segments or backup.aside or backup.has_backup_json):
            raise NotFound(f"{opened.uri} holds no backup named {name!r}")
        kept = list(backup.foreign)
        if superseded:
            source = await _check_whole(backup)
            replaced = await _replaced(backup, source)
            await _check_unchanged(backup)
            keys = list(_to_delete(backup.superseded(), replaced))
            kept += [key for key in backup.aside if key not in replaced]
        else:
            keys = [
                *_to_delete(backup.segments, backup.aside),
                *([BACKUP_JSON] if backup.has_backup_json else []),
            ]
        for key in keys if confirmed else ():
            await opened.delete(name, key)
        sizes = {segment.key: segment.size for segment in backup.segments}
        return DeleteReport(
            store=opened.uri,
            name=name,
            confirmed=confirmed,
            deleted=keys,
            bytes=sum(sizes.get(key, 0) for key in keys),
            kept=kept,
        )


async def _check_whole(backup: Backup) -> str:
    """The segments that are read must be all there, undamaged, and of one database; returns its identity."""
    if not backup.segments:
        raise SegmentGap(f"{backup.where()} has only segments that were put aside", hint="Run repair.")
    backup.check_contiguous()
    sources, one_backup, links = set(), OneBackup(await read_backup_json(backup)), backup.linked()

    async def inspect(numbered: tuple[int, StoredSegment]) -> SegmentInfo:
        number, stored = numbered
        segment, last = await backup.inspect(stored, links.end_of(number))
        sources.add(segment.info.source)
        one_backup.check(segment.info, backup.where(stored.key))
        links.set(number, last)
        return segment.info

    infos = await each(enumerate(backup.chain()), inspect, at_once=SEGMENTS_AT_ONCE)
    for number, info in enumerate(infos):
        links.check(number, info)
    for stored in backup.superseded():
        with suppress(SegmentDamaged, NotFound):
            sources.add((await backup.inspect(stored))[0].info.source)
    if len(sources) > 1:
        raise Conflict(
            f"{backup.where()} has segments of several databases: {', '.join(sorted(sources))}",
            hint="Run repair with the source.",
        )
    return sources.pop()


async def _replaced(backup: Backup, source: str) -> list[str]:
    """Returns the keys put aside whose content is in the backup, or never belonged to it."""
    replaced = []
    for key in backup.aside:
        stored = StoredSegment.from_key(key)
        if stored is None or backup.covers(stored.range) or not await backup.was_ours(stored, source):
            replaced.append(key)
    return replaced


async def _check_unchanged(backup: Backup) -> None:
    """What was verified must still be read: a repair may have put some of it aside. More may follow it."""
    verified = backup.chain()
    if (await list_backup(backup.store, backup.name)).chain()[: len(verified)] != verified:
        raise Conflict(
            f"{backup.where()} has changed since it was listed",
            hint="Another command is changing it. Run this again when that has ended.",
        )


def _to_delete(segments: Iterable[StoredSegment], aside: Iterable[str]) -> Iterator[str]:
    """Yields the keys to delete, in order: a segment put aside comes before the object that says so."""
    for segment in segments:
        yield segment.key
    for key in aside:
        yield key
        yield aside_key(key)
