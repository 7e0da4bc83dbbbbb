"""Delete: removes a backup, or what of it nobody reads any more."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncrestore.catalog import aside_key, list_backup
from asyncrestore.errors import Conflict, NotFound, SegmentDamaged, UsageError
from asyncrestore.opening import as_store
from asyncrestore.stores.base import Deletes

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        superseded: only the segments that others cover, and those that a repair put aside. The others are
            verified before, and must be whole. A restore that runs meanwhile may have to be run again.
        confirmed: without it nothing is deleted, and the report says what would be.
        encryption: the store's key, where it is encrypted; only `superseded` needs it.

    Raises:
        NotFound: there is no such backup. UsageError: a URI is wrong, or this store cannot delete.
        SegmentDamaged, SegmentGap, Conflict: the backup is not whole without them, so nothing was deleted.
        NotAuthorized: the credentials do not allow it; what was deleted before is in no report.
    """
    async with as_store(store, encryption) as opened:
        if not isinstance(opened, Deletes):
            raise UsageError(f"{opened.uri} is a store that cannot delete")
        backup = await list_backup(opened, name)
        if not backup.segments and not backup.aside:
            raise NotFound(f"{opened.uri} holds no backup named {name!r}")
        if superseded:
            await _check_whole(backup)
        report = DeleteReport(opened.uri, name, confirmed, kept=list(backup.foreign))
        sizes = {segment.key: segment.size for segment in backup.segments}
        for key in _wanted(backup, superseded=superseded):
            if confirmed:
                await opened.delete(name, key)
            report.deleted.append(key)
            report.bytes += sizes.get(key, 0)
        return report


async def _check_whole(backup: Backup) -> None:
    """What is read of a backup must be all of it, and sound."""
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


def _wanted(backup: Backup, *, superseded: bool) -> Iterator[str]:
    """What to delete, in order: a segment that was put aside before the object that says so."""
    for segment in backup.superseded() if superseded else backup.segments:
        yield segment.key
    for key in backup.aside:
        yield key
        yield aside_key(key)
