"""Whether a backup or a target shares its past with a source of the same identity.

An engine's id leads to one database. Where there is none, a durable database of Datomic Local is known by its
name, with the UUID of the restore that made it or with a digest of its first transaction. A database that is
deleted and made again in the same way has the same digest; a directory that was copied or put back has the
same UUID. Their histories may look alike, instants included, and yet other ids stand for the entities: what
is written under the one's ids says nothing in the other. So transactions are compared, the newest first,
until they have shown enough ids that only the database itself can have chosen, or to the beginning.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import UNREADABLE, Conflict, NotAuthorized, NotFound
from asyncrestore.excision.excised import was_excised
from asyncrestore.history.base import PAGE_WEIGHT
from asyncrestore.history.bootstrap import ROLLED_BACK, has_engines_id
from asyncrestore.history.copies import original_ids, own_attributes
from asyncrestore.history.scan import own_excisions
from asyncrestore.model.ids import ENTITY_COUNTER, counter_of
from asyncrestore.model.log import INDEX_BITS, INDEX_MASK, LogChunk, mentioned, references, t_to_tx, tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from asyncrestore.datomic.base import Database
    from asyncrestore.excision.excised import Excisions
    from asyncrestore.history.base import History
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.history.copies import Marker
    from asyncrestore.model.log import Transaction
    from asyncrestore.segments.segment import Segment

ENOUGH = 10
"""How many draws must be the same. Of two databases they are by chance once in 7^10 (280 million) times."""

_WINDOW, _LARGEST_WINDOW, _WINDOW_IDS = 64, 4096, 65_536
_UNREADABLE = NotFound, NotAuthorized, *UNREADABLE


class Draws:
    """Counts the draws by which a database chose the ids that were shown.

    Datomic Local draws one of seven partitions for the new entities of a transaction. The rest of their ids
    comes from a counter, so it is the same in each database made in the same way (measured on 1.0.291). Where
    the partition changes between two ids, in the order of the counter, there are two draws. A component is
    put into its owner's partition: what a transaction refers to is not counted there.
    """

    def __init__(self) -> None:
        # Index and partition of an entity of each run of ids in one partition, in order.
        self._runs: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._runs)

    def show(self, transaction: Transaction, entities: Iterable[int]) -> None:
        """Takes in entities of a transaction."""
        referred = {
            each
            for kind, raw in zip(transaction.kinds, transaction.raws, strict=True)
            if kind in "rt"
            for each in references(kind, raw)
        }
        for entity in entities:
            if counter_of(entity) == ENTITY_COUNTER and entity not in referred:
                index, partition = entity & INDEX_MASK, entity >> INDEX_BITS
                at = bisect_left(self._runs, (index, partition))
                if all(partition != other for _, other in self._runs[max(at - 1, 0) : at + 1]):
                    self._runs.insert(at, (index, partition))


async def check_source(there: Backup, newest: Segment, database: Database, excisions: Excisions) -> None:
    """Checks that what a backup holds is of this database's past. Their identities are known to be the same.

    Args:
        there: the backup.
        newest: its last segment.
        database: open.
        excisions: that it was asked for; what they cover may be in the backup alone.

    Raises:
        Conflict: it is not.
    """

    async def excised(ours: LogChunk, theirs: LogChunk) -> bool:
        return was_excised(ours, theirs, excisions)

    t = await _difference(_pages(there, newest), _Live(database).read, newest.info.source, excised)
    if t is not None:
        raise Conflict(
            f"{there.where()} and {database.uri} have diverged: t {t} differs",
            hint=f"{ROLLED_BACK} Back it up under another `name`.",
        )


async def check_copies(backup: Backup, ours: Segment, there: Backup, theirs: Segment) -> None:
    """Checks that two backups are of one past. Their identities are known to be the same.

    Args:
        backup: one of them.
        ours: its last segment that can be read and has transactions.
        there: the other one.
        theirs: its last segment that can be read and has transactions.

    Raises:
        Conflict: they are not.
    """
    assert ours.info.last_t is not None
    assert theirs.info.last_t is not None
    behind = ours.info.last_t < theirs.info.last_t
    longer, shorter, newest = (there, backup, ours) if behind else (backup, there, theirs)

    async def excised(ours: LogChunk, theirs: LogChunk) -> bool:
        """One of them may lack what was excised when it was read again."""
        for each in (backup, there):
            excisions = await own_excisions(each)
            if was_excised(ours, theirs, excisions) or was_excised(theirs, ours, excisions):
                return True
        return False

    t = await _difference(_pages(shorter, newest), _Stored(longer).read, newest.info.source, excised)
    if t is not None:
        raise Conflict(
            f"{backup.where()} and {there.where()} have diverged: t {t} differs",
            hint=f"{ROLLED_BACK} Give the copy another name.",
        )


async def check_target(history: History, target: Database, marker: Marker) -> None:
    """Checks that a target was restored from this very database. Their identities are known to be the same.

    Each id that the target keeps for an entity must be in the source's transaction that made the target keep
    it, whatever of that transaction was left out or rewritten.

    Args:
        history: of the source.
        target: the restored database.
        marker: of the target.

    Raises:
        Conflict: it was restored from another one.
    """
    if has_engines_id(history.identity):
        return
    attribute = own_attributes(await target.schema_history())[ORIGINAL_ID]
    draws = Draws()
    end, size = marker.target_t + 1, _WINDOW
    while end > 0 and len(draws) < ENOUGH:
        start = max(0, end - size)
        kept = await _kept_ids(target, attribute, start, end)
        # The installation stands for the source's bootstrap, which gave no ids.
        begins = kept.pop(t_to_tx(history.bootstrap_t), None)
        if kept:
            await _check_kept(history, target, kept, draws)
        if begins is not None:
            return
        end = min((each.t for each in kept.values()), default=start)
        size = min(8 * size, _LARGEST_WINDOW)


async def _difference(
    pages: AsyncIterator[LogChunk],
    read: Callable[[int, int], Awaitable[LogChunk | None]],
    identity: str,
    excised: Callable[[LogChunk, LogChunk], Awaitable[bool]],
) -> int | None:
    """Returns the t of a transaction that differs, None if as many as are needed are the same.

    Args:
        pages: transactions of the one, the newest first.
        read: returns the other's transactions from a t to a t, None if they cannot be had.
        identity: of both.
        excised: returns whether two pages differ by an excision at most.
    """
    draws = Draws()
    async for ours in pages:
        theirs = await read(tx_to_t(ours.tx[0]), tx_to_t(ours.tx[-1]))
        if theirs is None:
            continue
        if ours != theirs and not await excised(ours, theirs):
            return _first_difference(ours, theirs)
        if has_engines_id(identity):
            return None
        for transaction in reversed(list(ours.transactions())):
            draws.show(transaction, set(transaction.e))
            if len(draws) >= ENOUGH:
                return None
    return None


def _first_difference(ours: LogChunk, theirs: LogChunk) -> int:
    one, other = ({each.tx: each for each in log.transactions()} for log in (ours, theirs))
    return tx_to_t(min(tx for tx in one.keys() | other.keys() if one.get(tx) != other.get(tx)))


async def _pages(backup: Backup, newest: Segment) -> AsyncIterator[LogChunk]:
    """Yields what a backup holds up to the end of one of its segments, the newest row group first.

    What cannot be read, and what is of another database, is passed over: to name it is for `verify`.
    """
    for stored in reversed(backup.chain()):
        if stored.range.start > newest.info.start:
            continue
        with suppress(*_UNREADABLE):
            segment = newest if stored.range == newest.info.range else await backup.read(stored)
            if segment.info.source != newest.info.source:
                continue
            for group in reversed(range(segment.groups)):
                page = await to_thread.run_sync(segment.chunk, group)
                if page:
                    yield page


@dataclass(frozen=True, slots=True)
class _Live:
    """Reads transactions of a database."""

    database: Database

    async def read(self, first_t: int, last_t: int) -> LogChunk:
        chunks: list[LogChunk] = []
        start: int | None = first_t
        while start is not None:
            start, chunk = await self.database.read_log(start, last_t + 1, size=PAGE_WEIGHT)
            chunks.append(chunk)
        return LogChunk.join(chunks)


class _Stored:
    """Reads transactions of a backup; keeps the segment that was read last."""

    def __init__(self, backup: Backup) -> None:
        self._backup = backup
        self._stored: StoredSegment | None = None
        self._rows = LogChunk()

    async def read(self, first_t: int, last_t: int) -> LogChunk | None:
        found: list[LogChunk] = []
        next_t = first_t
        for stored in self._backup.chain():
            if next_t > last_t:
                break
            if stored.range.start <= next_t < stored.range.end:
                try:
                    rows = await self._rows_of(stored)
                except _UNREADABLE:
                    return None
                found.append(rows.after(t_to_tx(next_t - 1)).until(t_to_tx(last_t)))
                next_t = stored.range.end
        return LogChunk.join(found) if next_t > last_t else None

    async def _rows_of(self, stored: StoredSegment) -> LogChunk:
        if stored != self._stored:
            segment = await self._backup.read(stored)
            self._rows = LogChunk.join(await to_thread.run_sync(list, segment.chunks()))
            self._stored = stored
        return self._rows


@dataclass(frozen=True, slots=True)
class _Kept:
    """The source's ids that a transaction of a target keeps.

    Attributes:
        t: the target's own t of the transaction.
        ids: ids of the source's entities.
    """

    t: int
    ids: set[int]


async def _kept_ids(target: Database, attribute: int, start: int, end: int) -> dict[int, _Kept]:
    """Returns what the newest transactions of a target before `end`, not before `start`, keep.

    By source id of the transaction; those that no restore wrote are left out. The oldest are left out, too,
    where all of them keep very many ids.
    """
    kept: dict[int, _Kept] = {}
    next_t: int | None = start
    count = 0
    while next_t is not None:
        next_t, chunk = await target.read_log(next_t, end, size=PAGE_WEIGHT)
        for transaction in chunk.transactions():
            ids = original_ids(transaction, attribute)
            source_tx = ids.pop(transaction.tx, None)
            if source_tx is None:
                continue
            kept[source_tx] = _Kept(transaction.t, set(ids.values()))
            count += len(ids)
            while count > _WINDOW_IDS and len(kept) > 1:
                count -= len(kept.pop(next(iter(kept))).ids)
    return kept


async def _check_kept(history: History, target: Database, kept: dict[int, _Kept], draws: Draws) -> None:
    """Checks that the source's transactions have the ids that the target keeps of each."""
    left = dict(kept)
    first, last = min(kept), max(kept)

    def diverged(tx: int, how: str) -> Conflict:
        return Conflict(
            f"{target.uri} and {history.where} have diverged: t {tx_to_t(tx)} {how}",
            hint=f"{ROLLED_BACK} Restore into a new database.",
        )

    for part in history.parts(tx_to_t(first)):
        if part.range.start > tx_to_t(last):
            break
        async for chunk in await history.load(part):
            for transaction in chunk.after(first - 1).until(last).transactions():
                ours = left.pop(transaction.tx, None)
                if ours is None:
                    continue
                if not ours.ids <= mentioned([transaction]):
                    raise diverged(transaction.tx, "has other entities in each")
                draws.show(transaction, ours.ids)
            if chunk and chunk.tx[-1] >= last:
                break
    if left:
        raise diverged(min(left), "is in the first one only")
