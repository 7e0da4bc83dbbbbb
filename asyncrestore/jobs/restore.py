"""Restore: replays a history into a target, continuing where the target ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from asyncrestore.datomic.checked import CheckedDatabase
from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import Conflict, NotFound, StoppedEarly
from asyncrestore.excision.excised import Excised
from asyncrestore.history.bootstrap import ROLLED_BACK
from asyncrestore.history.budget import ByteBudget
from asyncrestore.history.copies import lacking_in
from asyncrestore.history.live import LiveHistory
from asyncrestore.history.point_in_time import check_reaches
from asyncrestore.jobs.arguments import integers, lists, texts, wrong
from asyncrestore.jobs.opening import as_database, as_history
from asyncrestore.jobs.selection import Selection, selected_by
from asyncrestore.model.code import ALL, AllowedCode
from asyncrestore.model.ids import IdCache
from asyncrestore.model.log import t_to_tx, tx_to_t
from asyncrestore.patience import PATIENCE_S
from asyncrestore.pipeline.code_check import CodeCheck
from asyncrestore.pipeline.edition_check import EditionCheck
from asyncrestore.pipeline.marker import check_empty, prepare_target
from asyncrestore.pipeline.resolve import Resolver
from asyncrestore.pipeline.spotcheck import SpotCheck
from asyncrestore.pipeline.stages import Stages
from asyncrestore.progress import Progress
from asyncrestore.verifying.common_past import check_target
from asyncrestore.verifying.compare import first_difference

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import Connector
    from asyncrestore.excision.excised import Excisions
    from asyncrestore.filters.filter import FilteredAttribute
    from asyncrestore.filters.rewrites import Rewrite
    from asyncrestore.history.base import History
    from asyncrestore.history.copies import Marker
    from asyncrestore.jobs.opening import AnyDatabase, AnyHistory
    from asyncrestore.jobs.selection import Selected
    from asyncrestore.model.code import Code
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.ids import CacheStatistics
    from asyncrestore.model.state import State
    from asyncrestore.progress import OnProgress
    from asyncrestore.stores.encrypted import Encryption

MAX_IN_FLIGHT = 65_536
MAX_PREFETCH_BYTES = 1024**4


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        source: identity of the source database.
        target: the target's URI.
        first_t: source t of the last transaction that was in the target before this run.
        last_t: source t of the last transaction that is in the target now.
        transactions: how many transactions this run restored.
        datoms: how many datoms of the source these transactions have, not counting those left out.
        segments_left: how many segments are not restored yet; 0 when the target has all of the history. It is
            more only when the run was limited to a number of segments.
        spot_checked: how many ids were looked up in the target by `spot_check`.
        seconds: how long it took.
        id_cache: statistics of the id cache.
        filtered: what was left out and rewritten, by attribute.
        excised: what the source's requests for excision meant.
        code: what names code or is code in what this run restored, all of it allowed.
        notes: remarks that are not problems: what the target was given before it was excised in the source.
    """

    source: str
    target: str
    first_t: int
    last_t: int
    transactions: int = 0
    datoms: int = 0
    segments_left: int = 0
    spot_checked: int = 0
    seconds: float = 0.0
    id_cache: CacheStatistics
    filtered: list[FilteredAttribute] = field(default_factory=list)
    excised: Excised = field(default_factory=Excised)
    code: list[Code] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def restore(
    source: AnyHistory,
    target: AnyDatabase,
    *,
    name: str | None = None,
    segments: int | None = None,
    spot_check: float = 0.0,
    selection: Selection | None = None,
    exclude: Collection[str] = (),
    exclude_schema: bool = False,
    rewrite: Mapping[str, Rewrite] | None = None,
    rewrite_key: bytes | None = None,
    until_t: int | None = None,
    until_time: datetime | None = None,
    keep_excised: bool = False,
    fit_target: bool = False,
    allow_code: Collection[str] = (),
    expect_t: int | None = None,
    prefetch_bytes: int = 32 * 1024 * 1024,
    in_flight: int = 1024,
    patience_s: float = PATIENCE_S,
    id_cache_size: int = 2_000_000,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
    stop: anyio.Event | None = None,
) -> RestoreReport:
    """Restores a backup, or a live database, into a target, continuing where the target ends.

    Cancelled, or ended by an error of `on_progress`, it leaves what it has sent to land in the target. The
    next restore into the same open database waits for that first, no longer than for any other answer.
    The JVM of a target that was given as a URI ends with the call, within 10 seconds: 5 of them are for
    transactions that have begun, and what has not begun is dropped.

    Args:
        source: a store or a database, open or as a URI.
        target: a database, open or as a URI; one that does not exist is created.
        name: name of the backup; required if the store holds several.
        segments: at most this many segments are restored (of a live database: ranges of 10,000 t each), and
            the report says how many are left. A segment that is restored in part counts. Default: all.
        spot_check: share of the transactions, from 0 to 1 and picked at random, whose ids are looked up in
            the target once they are committed.
        selection: which part of the history is restored, as one object, in the place of the eight arguments
            after this.
        exclude: see `Selection`.
        exclude_schema: see `Selection`.
        rewrite: see `Selection`.
        rewrite_key: see `Selection`.
        until_t: see `Selection`.
        until_time: see `Selection`.
        keep_excised: see `Selection`.
        fit_target: see `Selection`.
        allow_code: which of the history's code may reach the target: symbols of predicates, as in
            ``my.app/valid?``, and idents of database functions, as in ``:my/function``; ``all`` for a backup
            of your own. Nothing of ``clojure.core`` and the like is ever allowed (see `code`).
        expect_t: the t that the backup must reach at least: what is missing at its end shows nowhere else.
        prefetch_bytes: at most this many bytes of segments are loaded ahead; one segment always may be.
        in_flight: at most this many transactions are sent and not answered yet; 1 waits for each answer. If
            the engine does not keep their order, fewer are sent: as many as arrive in order.
        patience_s: for how many seconds the target may be busy or away, or its clock behind the history,
            without anything committing. The restore waits and tries again meanwhile.
        id_cache_size: how many entity ids are remembered, at about 9 bytes each. With 0 each id is looked up
            in the target, which is slower and changes nothing else.
        encryption: the store's key, if the store is encrypted.
        on_progress: called with the watermarks.
        stop: once it is set, transactions in flight are finished and `StoppedEarly` is raised.

    Raises:
        NotFound: the store, the backup or the source database does not exist.
        UsageError: a URI is malformed, an argument is wrong, `name` is required, an attribute cannot be
            left out or rewritten as asked, the restore cannot end at `until_t` or `until_time`, the history
            has code that is not allowed, or the target's edition lacks what the history has.
        SegmentGap: the backup ends before `expect_t`, and nothing was written; or it misses segments, and
            the target stays at its last whole transaction.
        SegmentDamaged: a segment cannot be used; the target stays at its last whole transaction.
        Conflict: the target holds something else, was restored with another filter, or is written to by
            somebody else.
        RewriteFailed: a value cannot be rewritten; everything before its transaction is restored.
        TransactionRejected: the target refused a transaction; everything before it is restored.
        DatabaseFailed: the target's files cannot be written or read (a full disk); everything before the
            transaction is restored.
        HistoryDiffers: a spot check found an id that stands for the wrong entity.
        Overtaken: another restore writes to the target.
        Unavailable: the target did not answer, or a segment was deleted meanwhile. The same restore, run
            again, continues.
        StoppedEarly: `stop` was set before the end.
    """
    texts(name=name)
    lists(allow_code=[allow_code] if allow_code == ALL else allow_code)
    integers(least=1, or_none=True, segments=segments)
    integers(or_none=True, expect_t=expect_t)
    integers(id_cache_size=id_cache_size)
    integers(least=1, most=MAX_IN_FLIGHT, in_flight=in_flight)
    integers(least=1, most=MAX_PREFETCH_BYTES, prefetch_bytes=prefetch_bytes)
    if not isinstance(spot_check, int | float) or not 0 <= spot_check <= 1:
        raise wrong("spot_check", "a number from 0 to 1", spot_check)
    if not isinstance(patience_s, int | float) or not patience_s >= 0:
        raise wrong("patience_s", "a number of seconds, not below 0", patience_s)
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
    async with (
        open_connector() as connector,
        as_history(connector, source, name, encryption, selection.until_t) as whole,
    ):
        check_reaches(whole.where, whole.end, expect_t)
        selected = await selection.of(whole)
        check = CodeCheck(selected.history, AllowedCode(allow_code), selected.filter, segments)
        return await _restore(
            selected=selected,
            check=check,
            target=CheckedDatabase(await _open_target(connector, target, selected.history, check)),
            budget=ByteBudget(prefetch_bytes),
            in_flight=in_flight,
            patience_s=patience_s,
            cache=IdCache(id_cache_size),
            segments=segments,
            spot_check=spot_check,
            on_progress=on_progress or (lambda _: None),
            stop=stop or anyio.Event(),
        )


async def _open_target(
    connector: Connector, target: AnyDatabase, history: History, check: CodeCheck
) -> Database:
    """Opens the target. One that does not exist is created when the history is checked."""
    try:
        return await as_database(connector, target, argument="target")
    except NotFound:
        await check.after(t_to_tx(history.bootstrap_t))
        return await as_database(connector, target, create=True, argument="target")


async def _restore(
    *,
    selected: Selected,
    check: CodeCheck,
    target: Database,
    budget: ByteBudget,
    in_flight: int,
    patience_s: float,
    cache: IdCache,
    segments: int | None,
    spot_check: float,
    on_progress: OnProgress,
    stop: anyio.Event,
) -> RestoreReport:
    started = monotonic()
    history, excisions = selected.history, selected.excisions
    if history.end == history.bootstrap_t + 1:
        await check_empty(target)
        t = history.bootstrap_t
        return RestoreReport(
            source=history.identity, target=target.uri, first_t=t, last_t=t, id_cache=cache.statistics
        )
    lacking = await lacking_in(target, history.base)
    filter_ = selected.fitted(lacking)
    before_writing = EditionCheck(check, lacking, target.uri).after
    marker = await prepare_target(target, history, filter_.rules if filter_ else (), check=before_writing)
    state = await history.state(marker.source_tx)
    _check_newest(history, target, marker, state)
    await check_target(history, target, marker)
    if filter_ is None and excisions.cover_nothing and state.recent:
        # What is left out or rewritten is not known to be the same each time.
        await _check_recent(history, target, marker, state)
    if filter_ is not None:
        filter_.hide(state.schema)
    resolver = Resolver(state, cache, marker.source_tx, t_to_tx(marker.target_t) - marker.source_tx)
    first_t = tx_to_t(marker.source_tx)
    parts = history.parts(first_t + 1)[:segments]
    end_t = min(parts[-1].range.end, history.end) if parts else history.end
    progress = Progress(start_t=first_t + 1, end_t=end_t)
    on_progress(progress)
    commits = _Commits(
        progress=progress,
        on_progress=on_progress,
        checker=SpotCheck(target, cache, spot_check, patience_s),
        last_tx=marker.source_tx,
    )
    stages = Stages(
        history=history,
        marker=marker,
        segments=segments,
        excisions=excisions,
        filter_=filter_,
        resolver=resolver,
        guard=await check.guard(target, state.schema),
        target=target,
        cache=cache,
        budget=budget,
        in_flight=in_flight,
        patience_s=patience_s,
        progress=progress,
        on_commit=commits.note,
        stop=stop,
    )
    await stages.run()
    if stop.is_set() and progress.committed_t < progress.end_t:
        raise StoppedEarly(
            f"Stopped: {target.uri} has everything up to source t {tx_to_t(commits.last_tx)}",
            hint="Run the same command again: it continues there.",
        )
    return RestoreReport(
        source=history.identity,
        target=target.uri,
        first_t=first_t,
        last_t=tx_to_t(commits.last_tx),
        transactions=progress.transactions,
        datoms=progress.datoms,
        segments_left=stages.parts_left,
        spot_checked=commits.checker.checked,
        seconds=monotonic() - started,
        id_cache=cache.statistics,
        filtered=filter_.done if filter_ else [],
        excised=excisions.done,
        code=check.codes,
        notes=_given_before(target, excisions, first_t, history.bootstrap_t),
    )


def _given_before(target: Database, excisions: Excisions, first_t: int, bootstrap_t: int) -> list[str]:
    """Describes requests that came after the target was given what they cover: it has that in its history."""
    later = [str(request.t) for request in excisions.requests if first_t < request.t]
    if first_t == bootstrap_t or excisions.cover_nothing or not later:
        return []
    note = f"{target.uri} had everything up to source t {first_t} before: what the requests for excision at "
    note += f"t {', '.join(later)} cover may be in its history, and even be present where the source has "
    return [note + "retracted it meanwhile. Restore into a new database, and delete this one."]


@dataclass(kw_only=True)
class _Commits:
    """Counts what the target has committed and reports it, and spot-checks it."""

    progress: Progress
    on_progress: OnProgress
    checker: SpotCheck
    last_tx: int

    async def note(self, batch: list[TxData]) -> None:
        self.last_tx = batch[-1].tx
        self.progress.committed_t = tx_to_t(self.last_tx) + 1
        self.progress.transactions += len(batch)
        self.progress.datoms += sum(len(data.source) for data in batch if data.source)
        self.on_progress(self.progress)
        await self.checker.check(batch)


def _check_newest(history: History, target: Database, marker: Marker, state: State) -> None:
    """The target's newest transaction must be the source's.

    A source that was rolled back since may have continued differently.
    """
    if tx_to_t(marker.source_tx) <= history.bootstrap_t:
        return
    last = state.last
    instant = last.instant(state.schema.id_of("db/txInstant")) if last else None
    if last is None or (instant is not None and instant != marker.instant):
        differs = "has another instant in each" if last else "is in the first one only"
        raise Conflict(
            f"{target.uri} and {history.where} have diverged: t {tx_to_t(marker.source_tx)} {differs}",
            hint=f"{ROLLED_BACK} Restore into a new database.",
        )


async def _check_recent(history: History, target: Database, marker: Marker, state: State) -> None:
    """The target's newest transactions must have the source's content.

    A source that was rolled back may have gone on with the same instants, as an import has.
    """
    found = await LiveHistory.open(target)
    differs = await first_difference(state.recent, state.schema, target, found, marker.target_t)
    if differs is not None:
        raise Conflict(
            f"{target.uri} and {history.where} have diverged: {differs}",
            hint=f"{ROLLED_BACK} Restore into a new database.",
        )
