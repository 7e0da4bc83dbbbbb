"""Delete: removes a backup, or only those of its segments that nobody reads any more."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteReport:
    """What was deleted or, without confirmation, would be.

    Attributes:
        store: the store's URI.
        name: name of the backup.
        confirmed: whether the objects were deleted.
        deleted: keys of the objects, in the order of deletion.
        bytes: size of the segments among them.
        kept: keys of objects under this name that are not segments; they are never deleted.
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
        superseded: delete only the segments that others cover, and those that a repair put aside. The
            remaining ones are verified first, and must be whole. A restore that runs at the same time may
            have to be run again.
        confirmed: if False, nothing is deleted, and the report says what would be.
        encryption: the store's key, if the store is encrypted; only `superseded` needs it.

    Raises:
        NotFound: the store or the backup does not exist.
        UsageError: a URI is malformed, or this kind of store cannot delete.
        SegmentDamaged: with `superseded`, a segment that would remain is damaged; nothing was deleted.
        SegmentGap: with `superseded`, the remaining segments have a gap; nothing was deleted.
        Conflict: with `superseded`, the segments are of several databases; nothing was deleted.
        NotAuthorized: the credentials do not allow it. There is no report of what was deleted before.
    """
    async with as_store(store, encryption) as opened:
        if not isinstance(opened, Deletes):
            raise UsageError(f"{opened.uri} is a store that cannot delete")
        backup = await list_backup(opened, name)
        if not backup.segments and not backup.aside:
            raise NotFound(f"{opened.uri} holds no backup named {name!r}")
        if superseded:
            await _check_whole(backup)
        keys = list(_to_delete(backup, superseded=superseded))
        for key in keys if confirmed else ():
            await opened.delete(name, key)
        sizes = {segment.key: segment.size for segment in backup.segments}
        return DeleteReport(
            store=opened.uri,
            name=name,
            confirmed=confirmed,
            deleted=keys,
            bytes=sum(sizes.get(key, 0) for key in keys),
            kept=list(backup.foreign),
        )


async def _check_whole(backup: Backup) -> None:
    """The segments of a backup that are read must be all there, undamaged, and of one database."""
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


def _to_delete(backup: Backup, *, superseded: bool) -> Iterator[str]:
    """Yields the keys to delete, in order: a segment put aside comes before the object that says so."""
    for segment in backup.superseded() if superseded else backup.segments:
        yield segment.key
    for key in backup.aside:
        yield key
        yield aside_key(key)
