"""Delete: removes a backup, or what of it nobody reads any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncrestore.catalog import aside_key, list_backup
from asyncrestore.errors import NotFound, UsageError
from asyncrestore.jobs.verify import verify
from asyncrestore.opening import as_store
from asyncrestore.stores.base import Deletes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.catalog import Backup
    from asyncrestore.opening import AnyStore


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
    store: AnyStore, name: str, *, superseded: bool = False, confirmed: bool = False
) -> DeleteReport:
    """Deletes a backup, or only the segments of it that nobody reads.

    A backup is deleted from its beginning on, so that one that was deleted in part is seen to be: a restore
    refuses it. Run again it deletes the rest.

    Args:
        store: a store, open or as a URI.
        name: of the backup.
        superseded: only the segments that others cover, and those that a repair put aside. The backup is
            verified before, and must be whole without them. A restore that runs meanwhile may have to be run again.
        confirmed: without it nothing is deleted, and the report says what would be.

    Raises:
        NotFound: there is no such backup. UsageError: a URI is wrong, or this store cannot delete.
        HistoryDiffers: the backup is not whole, so nothing of it was deleted (with `superseded`).
        NotAuthorized: the credentials do not allow it; what was deleted before is in no report.
    """
    async with as_store(store) as opened:
        if not isinstance(opened, Deletes):
            raise UsageError(f"{opened.uri} is a store that cannot delete")
        backup = await list_backup(opened, name)
        if not backup.segments and not backup.aside:
            raise NotFound(f"{opened.uri} holds no backup named {name!r}")
        if superseded:
            (await verify(opened, name=name)).raise_for_problems()
        report = DeleteReport(opened.uri, name, confirmed, kept=list(backup.foreign))
        sizes = {segment.key: segment.size for segment in backup.segments}
        for key in _wanted(backup, superseded=superseded):
            if confirmed:
                await opened.delete(name, key)
            report.deleted.append(key)
            report.bytes += sizes.get(key, 0)
        return report


def _wanted(backup: Backup, *, superseded: bool) -> Iterator[str]:
    """What to delete, in order: a segment that was put aside before the object that says so."""
    for segment in backup.superseded() if superseded else backup.segments:
        yield segment.key
    for key in backup.aside:
        yield key
        yield aside_key(key)
