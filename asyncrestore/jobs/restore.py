"""Restore: replays a history into a target, from where the target is."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import Conflict, StoppedEarly, UsageError
from asyncrestore.filters import make_filter
from asyncrestore.ids import IdCache
from asyncrestore.model import t_to_tx, tx_to_t
from asyncrestore.opening import as_database, as_history
from asyncrestore.pipeline.budget import ByteBudget
from asyncrestore.pipeline.stages import Stages
from asyncrestore.progress import Progress
from asyncrestore.resolve import Resolver
from asyncrestore.spotcheck import SpotCheck
from asyncrestore.target import check_empty, prepare_target
from asyncrestore.until import limit_history

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from asyncrestore.datomic.base import Database
    from asyncrestore.filters import Filter, FilteredAttribute
    from asyncrestore.history import History
    from asyncrestore.ids import CacheStatistics
    from asyncrestore.model import TxData
    from asyncrestore.opening import AnyDatabase, AnyHistory
    from asyncrestore.progress import OnProgress
    from asyncrestore.rewrites import Rewrite
    from asyncrestore.state import State
    from asyncrestore.stores.encrypted import Encryption
    from asyncrestore.target import Marker

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT = 65_536
MAX_PREFETCH_BYTES = 1024**4


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        source: identity of the source database.
        target: the target's URI.
        first_t: source t after which it began.
        last_t: source t of the last transaction that is in the target now.
        transactions: restored by this run.
        datoms: of the source, in those transactions, without those left out.
        segments_left: how many segments are not restored yet, 0 when the target has all of the history; more
            only when the run was given a number of segments.
        spot_checked: how many ids were looked up in the target by `spot_check`.
        seconds: how long it took.
        id_cache: how the id cache did.
        filtered: what was left out and rewritten, by attribute.
    """

    source: str
    target: str
    first_t: int
    last_t: int
    transactions: int
    datoms: int
    segments_left: int
    spot_checked: int
    seconds: float
    id_cache: CacheStatistics
    filtered: list[FilteredAttribute] = field(default_factory=list)


async def restore(
    source: AnyHistory,
    target: AnyDatabase,
    *,
    name: str | None = None,
    segments: int | None = None,
    spot_check: float = 0.0,
    exclude: Collection[str] = (),
    exclude_schema: bool = False,
    rewrite: Mapping[str, Rewrite] | None = None,
    rewrite_key: bytes | None = None,
    until_t: int | None = None,
    until_time: datetime | None = None,
    prefetch_bytes: int = 32 * 1024 * 1024,
    in_flight: int = 1024,
    id_cache_size: int = 2_000_000,
    encryption: Encryption | None = None,
    on_progress: OnProgress | None = None,
    stop: anyio.Event | None = None,
) -> RestoreReport:
    """Restores a backup, or a live database, into a target; continues where the target is.

    Args:
        source: a store or a database, open or as a URI.
        target: a database, open or as a URI; one that does not exist is created.
        name: of the backup, where the store holds several.
        segments: restores so many segments at most (of a live database: so many times 10,000 t), and says in
            the report what is left; a segment that is restored in part counts. Without it all.
        spot_check: asks the target about the ids in this part of the transactions (0 to 1), picked at random,
            once they are committed.
        exclude: idents of attributes whose datoms are left out.
        exclude_schema: leave out these attributes themselves too.
        rewrite: by ident of an attribute, how its values are rewritten: ``hash``, ``null`` (left out),
            ``constant:TEXT``, ``fake:PROVIDER``, ``module:function``, or a function (see `Rewrite`).
        rewrite_key: a secret of 16 bytes or more, for ``hash`` and ``fake``.
        until_t: the last source t to restore; a later run without it continues.
        until_time: the same as a time: the last transaction that is not after it.
        prefetch_bytes: how many bytes of segments may be loaded ahead; one segment always may.
        in_flight: how many transactions may be sent and not answered yet; 1 waits for each. To an engine that
            does not keep their order it is fewer, as far as they arrive in order.
        id_cache_size: how many entity ids are remembered; each takes about 9 bytes. Without (0) the target
            looks each up, which is slower and changes nothing else.
        encryption: the store's key, where it is encrypted.
        on_progress: is told the watermarks.
        stop: once set, what is in flight is finished and `StoppedEarly` raised.

    Raises:
        NotFound: there is no such backup or source. UsageError: a URI is wrong, or a name is needed; or what
        is to be left out or rewritten cannot be; or the restore cannot end there.
        SegmentGap, SegmentDamaged: the backup cannot be used; the target stays at its last whole transaction.
        Conflict: the target holds something else, was filtered in another way, or somebody else writes to it.
        RewriteFailed: a value cannot be rewritten; everything before its transaction is restored.
        TransactionRejected: the target refused a transaction.
        HistoryDiffers: a spot check found an id that stands for the wrong entity.
        Overtaken: another restore writes to the target.
        Unavailable: the target did not answer; run again.
        StoppedEarly: `stop` was set before the end.
    """
    if (segments is not None and segments < 1) or id_cache_size < 0 or not 0 <= spot_check <= 1:
        raise UsageError("segments must be at least 1, id_cache_size at least 0, spot_check from 0 to 1")
    if not 1 <= in_flight <= MAX_IN_FLIGHT or not 1 <= prefetch_bytes <= MAX_PREFETCH_BYTES:
        raise UsageError(
            f"in_flight must be from 1 to {MAX_IN_FLIGHT}, prefetch_bytes from 1 to {MAX_PREFETCH_BYTES}"
        )
    async with (
        open_connector() as connector,
        as_history(connector, source, name, encryption, until_t) as whole,
    ):
        filter_ = await make_filter(
            whole, exclude=exclude, exclude_schema=exclude_schema, rewrite=rewrite, key=rewrite_key
        )
        return await _restore(
            await limit_history(whole, until_t, until_time),
            filter_,
            await as_database(connector, target, create=True),
            ByteBudget(prefetch_bytes),
            in_flight,
            IdCache(id_cache_size),
            segments,
            spot_check,
            on_progress or (lambda _: None),
            stop or anyio.Event(),
        )


async def _restore(
    history: History,
    filter_: Filter | None,
    target: Database,
    budget: ByteBudget,
    in_flight: int,
    cache: IdCache,
    segments: int | None,
    spot_check: float,
    on_progress: OnProgress,
    stop: anyio.Event,
) -> RestoreReport:
    started = monotonic()
    if history.end == history.bootstrap_t + 1:
        await check_empty(target)
        t = history.bootstrap_t
        return RestoreReport(history.identity, target.uri, t, t, 0, 0, 0, 0, 0.0, cache.statistics)
    marker = await prepare_target(target, history, filter_.rules if filter_ else ())
    state = await history.state(marker.source_tx)
    _check_common_past(history, target, marker, state)
    resolver = Resolver(state, cache, marker.source_tx, t_to_tx(marker.target_t) - marker.source_tx)
    first_t = tx_to_t(marker.source_tx)
    parts = history.parts(first_t + 1)[:segments]
    end_t = min(parts[-1].range.end, history.end) if parts else history.end
    progress = Progress(start_t=first_t + 1, end_t=end_t)
    on_progress(progress)
    commits = _Commits(progress, on_progress, SpotCheck(target, cache, spot_check), marker.source_tx)
    stages = Stages(
        history=history,
        marker=marker,
        segments=segments,
        filter_=filter_,
        resolver=resolver,
        target=target,
        cache=cache,
        budget=budget,
        in_flight=in_flight,
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
        history.identity,
        target.uri,
        first_t,
        tx_to_t(commits.last_tx),
        progress.transactions,
        progress.datoms,
        stages.parts_left,
        commits.checker.checked,
        monotonic() - started,
        cache.statistics,
        filter_.done if filter_ else [],
    )


@dataclass
class _Commits:
    """Takes note of what is in the target: for the user, for the report, and for the spot check."""

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


def _check_common_past(history: History, target: Database, marker: Marker, state: State) -> None:
    """The target's newest transaction must be the source's: one put back may have gone on otherwise."""
    if tx_to_t(marker.source_tx) <= history.bootstrap_t:
        return
    last = state.last
    instant = last.instant(state.schema.id_of("db/txInstant")) if last else None
    if last is None or (instant is not None and instant != marker.instant):
        differs = "has another instant in each" if last else "is in the first one only"
        raise Conflict(
            f"{target.uri} and {history.where} have parted: t {tx_to_t(marker.source_tx)} {differs}",
            hint="The source was put back to an earlier state since. Restore into a new database.",
        )
