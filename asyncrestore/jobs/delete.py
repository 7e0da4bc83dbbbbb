"""Delete: removes a backup, or what of it nobody reads any more."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncrestore.catalog import StoredSegment, aside_key, list_backup
from asyncrestore.errors import Conflict, NotFound, SegmentDamaged, SegmentGap, UsageError
from asyncrestore.opening import as_store
from asyncrestore.stores.base import Deletes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncrestore.catalog import Backup
    from asyncrestore.opening import AnyStore
    from asyncrestore.stores.encrypted import Encryption


@dataclass(slots=True)
class DeleteReport:
    """What was deleted, or would be.

    Attributes:
        store: the store's URI.
        name: of the backup.
        confirmed: whether it was deleted.
        deleted: keys of the objects.
        bytes: the size of the segments among them.
        kept: keys of objects under the name that are no segments; they are left.
    """

    store: str
    name: str
    confirmed: bool
    deleted: list[str] = field(default_factory=list)
    bytes: int = 0
    kept: list[str] = field(default_factory=list)


async def delete(
    store: AnyStore,
    name: str,
    *,
    superseded: bool = False,
    confirmed: bool = False,
    encryption: Encryption | None = None,
) -> DeleteReport:
    """Deletes a backup, or only the segments of it that nobody reads.

    A backup is deleted from its beginning on, so that one that was deleted in part is seen to be: a restore
    refuses it. Run again it deletes the rest.

    Args:
        store: a store, open or as a URI.
        name: of the backup.
        superseded: only the segments that others cover, and those put aside that others replace. The others
            are verified before, and must be whole. A restore that runs meanwhile may have to be run again.
        confirmed: without it nothing is deleted, and the report says what would be.
        encryption: the store's key, where it is encrypted; only `superseded` needs it.

    Raises:
        NotFound: there is no such backup. UsageError: a URI is wrong, or this store cannot delete.
        SegmentDamaged, SegmentGap, Conflict: the backup is not whole without them, or changes just now, so
            nothing was deleted.
        NotAuthorized: the credentials do not allow it; what was deleted before is in no report.
    """
    async with as_store(store, encryption) as opened:
        if not isinstance(opened, Deletes):
            raise UsageError(f"{opened.uri} is a store that cannot delete")
        backup = await list_backup(opened, name)
        if not backup.segments and not backup.aside:
            raise NotFound(f"{opened.uri} holds no backup named {name!r}")
        wanted, kept = await _superseded(backup) if superseded else (_all(backup), [])
        report = DeleteReport(opened.uri, name, confirmed, kept=[*backup.foreign, *kept])
        sizes = {segment.key: segment.size for segment in backup.segments}
        for key in wanted:
            if confirmed:
                await opened.delete(name, key)
            report.deleted.append(key)
            report.bytes += sizes.get(key, 0)
        return report


async def _superseded(backup: Backup) -> tuple[list[str], list[str]]:
    """What can be deleted, and what was put aside and must stay: nothing replaces it.

    Raises:
        SegmentDamaged, SegmentGap: what is read of the backup is not all of it, or not sound.
        Conflict: it has segments of several databases, or changed meanwhile.
    """
    source = await _check_whole(backup)
    aside: list[str] = []
    kept: list[str] = []
    for key in backup.aside:
        stored = StoredSegment.from_key(key)
        replaced = stored is None or backup.covers(stored.range) or not await backup.was_ours(stored, source)
        (aside if replaced else kept).append(key)
    if (await list_backup(backup.store, backup.name)).chain() != backup.chain():
        raise Conflict(
            f"{backup.where()} has changed since it was listed",
            hint="Another command is at work on it. Run this again when that has ended.",
        )
    return [*(segment.key for segment in backup.superseded()), *_with_reasons(aside)], kept


async def _check_whole(backup: Backup) -> str:
    """Makes sure that what is read of a backup is all of it, and sound; returns its source's identity."""
    if not backup.segments:
        raise SegmentGap(f"{backup.where()} has only segments that were put aside", hint="Run repair.")
    backup.check_contiguous()
    sources = {(await backup.inspect(stored)).source for stored in backup.chain()}
    for stored in backup.superseded():
        with suppress(SegmentDamaged, NotFound):
            sources.add((await backup.inspect(stored)).source)
    if len(sources) > 1:
        raise Conflict(
            f"{backup.where()} has segments of several databases: {', '.join(sorted(sources))}",
            hint="Run repair with the source.",
        )
    return sources.pop()


def _all(backup: Backup) -> list[str]:
    """All of a backup's objects, in order of t."""
    return [*(segment.key for segment in backup.segments), *_with_reasons(backup.aside)]


def _with_reasons(aside: Iterable[str]) -> Iterator[str]:
    """Segments that were put aside, each before the object that says so."""
    for key in aside:
        yield key
        yield aside_key(key)
