"""Proves that a target has the history of its source."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import (
    Conflict,
)
from asyncrestore.history.copies import lacking_in, recorded_source
from asyncrestore.history.live import LiveHistory
from asyncrestore.history.point_in_time import check_reaches
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs.arguments import integers, texts
from asyncrestore.jobs.opening import as_database, as_history
from asyncrestore.jobs.selection import EVERYTHING, Selected, Selection
from asyncrestore.jobs.verified import VerifyReport
from asyncrestore.pipeline.marker import check_filter
from asyncrestore.progress import Progress
from asyncrestore.verifying.compare import compare
from asyncrestore.verifying.differences import Differences

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.jobs.opening import AnyDatabase, AnyHistory
    from asyncrestore.progress import OnProgress
    from asyncrestore.stores.encrypted import Encryption


async def verify_copy(
    source: AnyHistory,
    target: AnyDatabase,
    *,
    name: str | None = None,
    selection: Selection = EVERYTHING,
    expect_t: int | None = None,
    max_differences: int = 10,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Compares a restored database with the backup, or the live database, that it was restored from.

    Every transaction has the same position, instant and datoms as in the source, with entity ids renamed one
    to one. A backup that ends before the target does is not damaged: the report says how many transactions
    it is behind.

    Args:
        source: a store or a database, open or as a URI; or the path of a directory.
        target: a database restored from `source`, open or as a URI.
        name: name of the backup; required if the store holds several.
        selection: the same as when the target was restored: that part of the history is expected. With
            `Selection.keep_excised` also what is excised in the source; without it that is not expected, and
            no difference if it is there: the report counts it.
        expect_t: the t that the backup must reach at least: what is missing at its end shows nowhere else.
        max_differences: how many problems the report describes; it counts them all.
        encryption: the store's key, if the store is encrypted.
        on_progress: called with the watermarks.

    Returns:
        The report. What is wrong with the data is in it, and is not raised.

    Raises:
        NotFound: the store, the backup or a database does not exist.
        UsageError: a URI is malformed, `name` is required, or an argument is of another type.
        Conflict: the target was restored from another source, with another filter, or not at all.
        NotAuthorized: the store refused the credentials, or is encrypted with another key.
        RewriteFailed: a value cannot be rewritten.
        SegmentDamaged: a segment of the backup cannot be used.
        SegmentGap: the backup misses segments, or ends before `expect_t`.
        Unavailable: a segment was deleted meanwhile, and others replace it.
    """
    texts(name=name)
    integers(least=1, max_differences=max_differences)
    integers(or_none=True, expect_t=expect_t)
    started = monotonic()
    differences = Differences(max_differences)
    async with (
        open_connector() as connector,
        as_history(connector, source, name, encryption, selection.until_t) as whole,
    ):
        check_reaches(whole.where, whole.end, expect_t)
        selected = await selection.of(whole)
        report = await _verify_target(
            selected,
            await as_database(connector, target, argument="target"),
            differences,
            on_progress or (lambda _: None),
        )
    return replace(report, seconds=monotonic() - started)


async def _verify_target(
    selected: Selected, target: Database, differences: Differences, on_progress: OnProgress
) -> VerifyReport:
    history, filter_, excisions = selected.history, selected.filter, selected.excisions
    found = await LiveHistory.open(target)
    restored_from = await recorded_source(target, found.bootstrap_t)
    if restored_from != history.identity:
        was = f"was restored from another database ({restored_from})" if restored_from else "was not restored"
        raise Conflict(f"{target.uri} {was}; {history.where} is of {history.identity}")
    filter_ = selected.fitted(await lacking_in(target, history.base)) if selected.fit_target else filter_
    await check_filter(target, found.bootstrap_t, filter_.rules if filter_ else ())
    progress = Progress(start_t=history.bootstrap_t + 1, end_t=history.end)
    # A live source cannot be behind its copy, and a history that ends early says where the copy must end.
    may_be_ahead = isinstance(history, StoredHistory)
    ahead = await compare(
        history,
        target,
        found=found,
        excisions=excisions,
        filter_=filter_,
        may_be_ahead=may_be_ahead,
        differences=differences,
        progress=progress,
        on_progress=on_progress,
    )
    return VerifyReport(
        checked=history.where,
        against=target.uri,
        ahead=ahead,
        end=history.end,
        transactions=progress.transactions,
        datoms=progress.datoms,
        problems=differences.first,
        problem_count=differences.count,
        filtered=filter_.done if filter_ else [],
        excised=excisions.done,
        notes=_held(target, excisions.done.held),
    )


def _held(target: Database, datoms: int) -> list[str]:
    """Describes what a target holds that is excised in its source."""
    if not datoms:
        return []
    note = (
        f"{target.uri} holds {datoms} datom{'' if datoms == 1 else 's'} that a request for excision covers: "
    )
    note += "it was restored before that, or with keep_excised. "
    return [note + "Restore into a new database, and delete this one."]
