"""A database's own history, from its first user transaction on, read from a backup or a live database.

The parts of a backup are its segments. Loading one reads and checks it, which can be done ahead; it is
decoded as its chunks are taken. A live database is read a page at a time; its parts only measure progress.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from anyio import to_thread

from asyncrestore.history.bootstrap import ROLLED_BACK, beginning_until
from asyncrestore.history.card import read_card
from asyncrestore.history.catalog import find_backup
from asyncrestore.model.code import code_attributes, code_in
from asyncrestore.errors import (
    Conflict,
    DamageError,
    NotFound,
    Overtaken,
    SegmentDamaged,
    SegmentGap,
    Unavailable,
)
from asyncrestore.excision.excised import Excisions
from asyncrestore.excision.requests import Components, requests_in
from asyncrestore.model.ids import SeenIds
from asyncrestore.segments.lineage import OneBackup
from asyncrestore.model.log import LogChunk, t_to_tx, tx_to_t
from asyncrestore.history.scan import (SEGMENTS_AT_ONCE, code_of, covered_in, limited, requests_of)
from asyncrestore.model.schema import SchemaHistory
from asyncrestore.segments.segment import SegmentRange, last_before, last_in
from asyncrestore.model.state import State
from asyncrestore.history.stored_schema import StoredSchema
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pyarrow as pa

    from asyncrestore.history.bootstrap import Beginning
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.model.code import Found
    from asyncrestore.datomic.base import Database
    from asyncrestore.excision.requests import Request
    from asyncrestore.segments.lineage import Lineage
    from asyncrestore.model.log import Transaction
    from asyncrestore.model.schema import Schema
    from asyncrestore.segments.segment import Segment
    from asyncrestore.stores.base import Store

PAGE_WEIGHT = 16_384
"""Least weight of the datoms of a page of the log, and so of a row group of a segment (see `model.weight`).

The last page may weigh less.
"""

LIVE_PART = 10_000
"""How many t a part of a live database covers: as many as a segment."""

_COUNTED_T = 1_000_000
"""In how large a range of t transactions are counted at once: 8 MB of numbers."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a history that is loaded as a whole.

    Attributes:
        range: what it covers.
        size: how many bytes it takes in memory.
    """

    range: SegmentRange
    size: int


class History(Protocol):
    """The transactions of a database after its bootstrap."""

    @property
    def identity(self) -> str:
        """The identity of the source database."""
        ...

    @property
    def where(self) -> str:
        """What is read, in human-readable form."""
        ...

    @property
    def bootstrap_t(self) -> int:
        """The t of the last transaction that is not part of the history."""
        ...

    @property
    def tx_instant(self) -> int:
        """The entity id of `:db/txInstant`."""
        ...

    @property
    def end(self) -> int:
        """The first t after the history; the t after `bootstrap_t` if the history is empty."""
        ...

    def parts(self, start: int) -> list[Part]:
        """Returns the parts to load, in order, to have all transactions with t >= start."""
        ...

    async def load(self, part: Part) -> AsyncIterator[LogChunk]:
        """Reads a part, checks all of it, and returns its transactions in chunks.

        Raises:
            SegmentDamaged: the part cannot be used.
            DamageError: it does not follow the one before it; raised when the first chunk is asked for.
            Conflict: the part belongs to another database or backup.
        """
        ...

    async def state(self, tx: int) -> State:
        """Returns the state after the transaction with id `tx`.

        Raises:
            Conflict: the history ends before that transaction.
        """
        ...

    async def schema(self) -> Schema:
        """Returns the schema after the last transaction.

        Raises:
            DamageError: a part that it depends on cannot be used, is missing, or lacks transactions.
            Conflict: one belongs to another database.
        """
        ...

    async def excisions(self) -> Excisions:
        """Returns what the requests for excision in all of the history cover.

        A part that cannot be used is passed over; `load` raises the error.
        """
        ...

    async def code(self, start: int, end: int) -> list[Found]:
        """Returns what names code or is code in the transactions with start <= t < end.

        A part that cannot be used is passed over; `load` raises the error.
        """
        ...


class StoredHistory:
    """The history in a backup. It has the methods of `History`, which documents them."""

    def __init__(self, backup: Backup, first: Segment, lineage: Lineage | None = None) -> None:
        self._backup = backup
        self._segments = {segment.range: segment for segment in backup.chain()}
        self._parts = [Part(segment.range, segment.size) for segment in self._segments.values()]
        self._schemas = StoredSchema(backup, self._read)
        self._one_backup = OneBackup(lineage)
        self._one_backup.check(first.info, backup.where())
        self._links = backup.linked()
        self._numbers = {range_: number for number, range_ in enumerate(self._segments)}
        self._largest: dict[SegmentRange, tuple[int, int, int]] = {}
        self._base = first.base.base
        self.where = backup.where()
        self.identity = first.info.source
        self.bootstrap_t = first.info.bootstrap_t
        self.tx_instant = first.base.id_of("db/txInstant")
        self.end = backup.end

    @classmethod
    async def open(cls, store: Store, name: str | None, until_t: int | None = None) -> StoredHistory:
        """Opens a backup.

        Args:
            store: where it is.
            name: of the backup, where there are several.
            until_t: nothing after this t is needed: segments may be missing there.

        Raises:
            NotFound: there is no such backup.
            UsageError: there are several and no name was given.
            SegmentGap: a segment is missing up to `until_t`, or without it before the last segment.
            Unavailable: a segment is gone since the listing.
            SegmentDamaged: its first segment cannot be used.
            Conflict: its first and its last segment are of different databases or backups, or of another one
                than `backup.json` says.
        """
        backup = await find_backup(store, name)
        history = cls(backup, await _read_listed(backup, backup.chain()[0]), await read_card(backup))
        try:
            backup.check_contiguous(None if until_t is None else until_t + 1)
        except SegmentGap as exc:
            before = backup.gaps()[0].start - 1
            if before > history.bootstrap_t:
                exc.hint += f" What is before can be had alone: restore --until-t {before}."
            raise
        # Before anything is restored: were the first segment another database's, its data would come first.
        with suppress(SegmentDamaged):  # raised in its turn, after what comes before it is restored
            await history.read(history._parts[-1])
        return history

    def parts(self, start: int) -> list[Part]:
        """See `History`."""
        return [part for part in self._parts if part.range.end > start]

    async def read(self, part: Part) -> Segment:
        """Reads a part and checks it; raises what `load` raises."""
        return await self._read(self._segments[part.range])

    async def _read(self, stored: StoredSegment) -> Segment:
        segment = await _read_listed(self._backup, stored)
        if segment.info.source != self.identity:
            raise Conflict(
                f"{self._backup.where(stored.key)} is of another database ({segment.info.source}) "
                f"than the first segment ({self.identity})",
                hint="Run repair with the source; a backup of another database needs another name.",
            )
        self._one_backup.check(segment.info, self._backup.where(stored.key))
        self._largest[stored.range] = segment.info.largest
        return segment

    async def load(self, part: Part) -> AsyncIterator[LogChunk]:
        """See `History`."""
        segment = await self.read(part)
        # All of it before anything of it is used, ahead of its turn.
        await to_thread.run_sync(segment.check_rows)
        return self._following(part, segment)

    async def _following(self, part: Part, segment: Segment) -> AsyncIterator[LogChunk]:
        """Decodes a segment, once it is known to follow the one before it."""
        await self.check_follows(part, segment)
        number = self._numbers[part.range]
        end_tx, last = t_to_tx(self._links.end_of(number)), LogChunk()
        async for chunk in decoded(segment):
            if chunk and chunk.tx[0] < end_tx:
                last = chunk
            yield chunk
        self._links.set(number, last_before([last], tx_to_t(end_tx)))

    async def table(self, part: Part) -> tuple[Segment, pa.Table]:
        """Reads a part and checks it, and returns all its rows too; raises what `load` raises."""
        segment = await self.read(part)
        table = await to_thread.run_sync(segment.table)
        number = self._numbers[part.range]
        self._links.set(number, await to_thread.run_sync(last_in, table, self._links.end_of(number)))
        return segment, table

    async def check_follows(self, part: Part, segment: Segment) -> None:
        """Checks that a part, which was read, follows the one before it.

        Raises:
            DamageError: it does not.
        """
        number = self._numbers[part.range]
        while (before := self._links.needs(number)) is not None:
            read = await self.read(self._parts[before])
            end = self._links.end_of(before)
            self._links.set(before, await to_thread.run_sync(read.last_before, end))
        try:
            self._links.check(number, segment.info)
        except DamageError as exc:
            raise DamageError(f"{self.where}: {exc}", hint=exc.hint) from exc

    async def state(self, tx: int) -> State:
        """See `History`."""
        before = [part for part in self._parts if part.range.end <= tx_to_t(tx)]
        if len(before) == len(self._parts):
            raise Conflict(
                f"{self.where} ends at t {self.end - 1}, before t {tx_to_t(tx)}",
                hint="The target was restored from a newer backup of the same database; use that one.",
            )
        segment = await self.read(self._parts[len(before)])
        schema = await self._schemas.before(segment)
        state = State(schema, await self._seen(before))
        async for chunk in decoded(segment):
            state.advance(chunk, tx)
            if chunk.tx[-1] >= tx:
                break
        return state

    async def _seen(self, parts: list[Part]) -> SeenIds:
        """Returns the largest indexes in these parts.

        Those that were not read before are read, several at once: a store may be far away.
        """
        left = iter([part for part in parts if part.range not in self._largest])

        async def read() -> None:
            for part in left:
                await self.read(part)

        async with task_group() as tasks:
            for _ in range(SEGMENTS_AT_ONCE):
                tasks.start_soon(read)
        seen = SeenIds()
        for part in parts:
            seen.merge(self._largest[part.range])
        return seen

    async def excisions(self) -> Excisions:
        """See `History`."""
        requests = await limited(self, await requests_of(self._backup, self._base))
        return await covered_in(self._backup, self._base, requests)

    async def code(self, start: int, end: int) -> list[Found]:
        """See `History`."""
        return await code_of(self._backup, self._base, start, end)

    async def schema(self) -> Schema:
        """See `History`."""
        segment = await self.read(self._parts[-1])
        try:
            schema = await self._schemas.before(segment)
        except (DamageError, Conflict) as exc:
            exc.hint += " What comes before can be had whole: --until-t, without --exclude and --rewrite."
            raise
        async for chunk in decoded(segment):
            for transaction in chunk.transactions():
                schema.apply(transaction.datoms)
        return schema


async def _read_listed(backup: Backup, stored: StoredSegment) -> Segment:
    try:
        return await backup.read(stored)
    except NotFound as exc:
        raise Unavailable(
            f"{backup.where(stored.key)} is gone since the backup was listed",
            hint="Run the same command again: if others have replaced it, they are read then.",
        ) from exc


async def decoded(segment: Segment) -> AsyncIterator[LogChunk]:
    """Decodes row groups one at a time, in a thread, as they are asked for."""
    for group in range(segment.groups):
        yield await to_thread.run_sync(segment.chunk, group)


class LiveHistory:
    """The history of a database up to its basis t when this was opened. It has the methods of `History`.

    Attributes:
        base: idents of the base schema by entity id.
        requests: for excision, all that the database has.
    """

    def __init__(
        self,
        database: Database,
        schemas: SchemaHistory,
        requests: list[Request],
        beginning: Beginning,
        basis_t: int,
        schema_log: LogChunk,
    ) -> None:
        self._database = database
        self._schema_log = schema_log
        self._schemas = schemas
        self.base = schemas.base.base
        self.requests = requests
        self.where = database.uri
        self.identity = database.identity or beginning.identity_of(database.name)
        self.bootstrap_t = beginning.bootstrap_t
        self.tx_instant = schemas.base.id_of("db/txInstant")
        self.end = basis_t + 1

    @classmethod
    async def open(cls, database: Database) -> LiveHistory:
        """Opens the history up to now."""
        # In this order, because a restore may be installing its bookkeeping just now: the log must not be
        # read further than the schema is known.
        basis_t = await database.basis_t()
        schema_log = await database.schema_history()
        beginning = await beginning_until(database, basis_t, schema_log)
        schemas = SchemaHistory(schema_log, beginning.bootstrap_t)
        requests = requests_in(schema_log.rows(), schemas.base.base)
        return cls(database, schemas, requests, beginning, basis_t, schema_log)

    def schema_as_of(self, t: int) -> Schema:
        """Returns the schema after the transaction with that t, or the last one before it."""
        return self._schemas.as_of(t)

    def schema_digest_as_of(self, t: int) -> str:
        """Returns the `Schema.digest` of `schema_as_of`."""
        return self._schemas.digest_as_of(t)

    def parts(self, start: int) -> list[Part]:
        """See `History`."""
        starts = range(start, self.end, LIVE_PART)
        return [Part(SegmentRange(at, min(at + LIVE_PART, self.end)), 0) for at in starts]

    async def last_before(self, t: int) -> Transaction | None:
        """Returns the last transaction before a t, at most that of `end`; None if there is none."""
        end, size = min(t, self.end), 1
        while end > 0:
            start = max(0, end - size)
            found = await self._database.transaction_ts(start, end)
            if found:
                _, chunk = await self._database.read_log(found[-1], found[-1] + 1, size=1)
                return last_before([chunk], t)
            end, size = start, min(64 * size, _COUNTED_T)
        return None

    async def count_from(self, t: int) -> int:
        """Returns how many transactions it has from that t on."""
        ranges = range(t, self.end, _COUNTED_T)
        return sum(
            [len(await self._database.transaction_ts(at, min(at + _COUNTED_T, self.end))) for at in ranges]
        )

    async def load(self, part: Part) -> AsyncIterator[LogChunk]:
        """See `History`."""
        return self._pages(part.range)

    async def _pages(self, range_: SegmentRange) -> AsyncIterator[LogChunk]:
        start: int | None = range_.start
        while start is not None:
            start, chunk = await self._database.read_log(start, range_.end, size=PAGE_WEIGHT)
            yield chunk

    async def state(self, tx: int) -> State:
        """See `History`."""
        if tx_to_t(tx) >= self.end:
            if tx_to_t(tx) <= await self._database.basis_t():
                raise Overtaken(
                    f"{self.where} has gone on since, and another restore has already restored its t "
                    f"{tx_to_t(tx)}",
                    hint="Let the other one finish, or run this again when it has ended.",
                )
            raise Conflict(
                f"{self.where} ends at t {self.end - 1}, before t {tx_to_t(tx)}",
                hint=f"{ROLLED_BACK} Restore into a new database.",
            )
        state = State(self._schemas.as_of(tx_to_t(tx)), SeenIds())
        async for chunk in self._pages(SegmentRange(0, tx_to_t(tx) + 1)):
            state.seen.add_all(chunk.e)
            if chunk and chunk.tx[-1] == tx:
                for state.last in chunk.transactions():
                    state.remember(state.last)
        return state

    async def schema(self) -> Schema:
        """See `History`."""
        return self._schemas.as_of(self.end - 1)

    async def excisions(self) -> Excisions:
        """See `History`."""
        requests = await limited(self, self.requests)
        components = Components(requests)
        if components.attributes:
            async for chunk in self._pages(SegmentRange(0, components.end)):
                components.add(chunk)
        return Excisions(self.base, requests, components)

    async def code(self, start: int, end: int) -> list[Found]:
        """See `History`."""
        rows = list(self._schema_log.rows())
        functions = {entity for entity, name in self.base.items() if name == "db.type/fn"}
        known = code_attributes(self.base, rows)
        # Attributes of somebody's own may have functions, too. It takes the whole log to find these.
        if any(kind == "r" and raw in functions and e not in known for _, (e, _, kind, raw, _) in rows):
            async for chunk in self._pages(SegmentRange(start, end)):
                rows += [row for row in chunk.rows() if row[1][2] == "c" and row[1][1] not in known]
        return [found for found in code_in(rows, self.base, start) if found.code.t < end]
