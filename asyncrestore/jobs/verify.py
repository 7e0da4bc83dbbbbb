"""Verifies a backup or a copy, by the arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.datomic.base import Database
from asyncrestore.datomic.engines import parse_uri
from asyncrestore.datomic.uri import is_database_uri
from asyncrestore.errors import (
    UsageError,
)
from asyncrestore.jobs.selection import Selection, selected_by
from asyncrestore.jobs.verify_backup import verify_backup
from asyncrestore.jobs.verify_copy import verify_copy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from asyncrestore.filters.rewrites import Rewrite
    from asyncrestore.jobs.opening import AnyDatabase, AnyHistory
    from asyncrestore.jobs.verified import VerifyReport
    from asyncrestore.progress import OnProgress
    from asyncrestore.stores.encrypted import Encryption


async def verify(
    source: AnyHistory,
    *,
    against: AnyDatabase | None = None,
    live: AnyDatabase | None = None,
    name: str | None = None,
    selection: Selection | None = None,
    exclude: Collection[str] = (),
    exclude_schema: bool = False,
    rewrite: Mapping[str, Rewrite] | None = None,
    rewrite_key: bytes | None = None,
    until_t: int | None = None,
    until_time: datetime | None = None,
    keep_excised: bool = False,
    fit_target: bool = False,
    expect_t: int | None = None,
    max_differences: int = 10,
    read_rate: int | None = None,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Verifies a copy if `against` is given, else a backup.

    It is `verify_copy` and `verify_backup` in one, with the arguments of both.

    Args:
        source: see both.
        against: the copy; see `verify_copy`.
        live: see `verify_backup`.
        name: see both.
        selection: see `verify_copy`.
        exclude: see `verify_copy`.
        exclude_schema: see `verify_copy`.
        rewrite: see `verify_copy`.
        rewrite_key: see `verify_copy`.
        until_t: see `verify_copy`.
        until_time: see `verify_copy`.
        keep_excised: see `verify_copy`.
        fit_target: see `verify_copy`.
        expect_t: see both.
        max_differences: see both.
        read_rate: see `verify_backup`.
        encryption: see both.
        on_progress: see both.

    Raises:
        UsageError: arguments do not fit each other, or see both.
        AsyncRestoreError: see both.
    """
    keywords = Selection(
        exclude=exclude,
        exclude_schema=exclude_schema,
        rewrite=rewrite,
        rewrite_key=rewrite_key,
        until_t=until_t,
        until_time=until_time,
        keep_excised=keep_excised,
        fit_target=fit_target,
    )
    selection = selected_by(selection, keywords)
    if against is not None and live is not None:
        raise UsageError(
            "live and against cannot be combined",
            hint="Verify the backup with live, then the copy with against.",
        )
    if read_rate is not None and live is None:
        raise UsageError("`read_rate` is for reading `live`", hint="Add `live=SOURCE`, or leave it out.")
    if against is not None:
        return await verify_copy(
            source,
            against,
            name=name,
            selection=selection,
            expect_t=expect_t,
            max_differences=max_differences,
            encryption=encryption,
            on_progress=on_progress,
        )
    if isinstance(source, Database) or (isinstance(source, str) and is_database_uri(source)):
        uri = parse_uri(source).text if isinstance(source, str) else source.uri
        raise UsageError(
            f"{uri} is a database; there is nothing to compare it with", hint="Add `against=TARGET`."
        )
    if not selection.is_everything:
        raise UsageError(
            "Options to leave out, keep, rewrite or end early describe a target, and no target was given",
            hint="Add `against=TARGET`. A backup by itself is always verified whole.",
        )
    return await verify_backup(
        source,
        live=live,
        name=name,
        expect_t=expect_t,
        max_differences=max_differences,
        read_rate=read_rate,
        encryption=encryption,
        on_progress=on_progress,
    )
