"""A history out of a backup. Its parts are the segments.

Loading one reads and checks it, which can be done ahead; it is decoded as its chunks are taken.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from anyio import to_thread
from typing_extensions import override

from asyncrestore.errors import (
    Conflict,
    DamageError,
    NotFound,
    SegmentDamaged,
    SegmentGap,
    Unavailable,
)
from asyncrestore.history.backup_json import read_backup_json
from asyncrestore.history.base import History, Part
from asyncrestore.history.catalog import SEGMENTS_AT_ONCE, find_backup
from asyncrestore.history.scan import by_t, code_of, covered_in, requests_of, some_of
from asyncrestore.history.stored_schema import StoredSchema
from asyncrestore.model.ids import SeenIds
from asyncrestore.model.log import LogChunk, t_to_tx, tx_to_t
from asyncrestore.model.state import State
from asyncrestore.segments.lineage import OneBackup
from asyncrestore.segments.segment import last_before, last_in
from asyncrestore.tasks import each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    import pyarrow as pa

    from asyncrestore.excision.excised import Excisions
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.model.code import Found
    from asyncrestore.model.log import Datom
    from asyncrestore.model.schema import Schema
    from asyncrestore.segments.lineage import Lineage
    from asyncrestore.segments.segment import Segment
    from asyncrestore.stores.base import Store


class StoredHistory(History):
    """The history in a backup."""

    def __init__(self, backup: Backup, first: Segment, lineage: Lineage | None = None) -> None:
        self._backup = backup
        self._segments = {segment.range: segment for segment in backup.chain()}
        self._begins = first.info.range
        self._kept: Segment | None = first
        self._parts = [Part(segment.range, segment.size) for segment in self._segments.values()]
        self._schemas = StoredSchema(backup, self._read)
        self._one_backup = OneBackup(lineage)
        self._one_backup.check(first.info, backup.where())
        self._links = backup.linked()
        self._numbers = {range_: number for number, range_ in enumerate(self._segments)}
        self._largest = {first.info.range: first.info.largest}
        self.base = first.base.base
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
        with _listed(backup, backup.chain()[0]):
            first = await backup.read(backup.chain()[0])
        history = cls(backup, first, await read_backup_json(backup))
        try:
            backup.check_contiguous(None if until_t is None else until_t + 1)
        except SegmentGap as exc:
            before = backup.gaps()[0].start - 1
            if before > history.bootstrap_t:
                exc.hint += f" What is before can be had alone: restore `until_t={before}`."
            raise
        # Before anything is restored: were the first segment another database's, its data would come first.
        with suppress(SegmentDamaged):  # raised in its turn, after what comes before it is restored
            await history.read(history._parts[-1])
        return history

    @override
    def parts(self, start: int) -> list[Part]:
        return [part for part in self._parts if part.range.end > start]

    async def read(self, part: Part) -> Segment:
        """Reads a part and checks it; raises what `load` raises."""
        return await self._read(self._segments[part.range])

    async def _read(self, stored: StoredSegment) -> Segment:
        with _listed(self._backup, stored):
            segment = await self._take(stored)
        if segment.info.source != self.identity:
            raise Conflict(
                f"{self._backup.where(stored.key)} is of another database ({segment.info.source}) "
                f"than the first segment ({self.identity})",
                hint="Run repair with the source; a backup of another database needs another name.",
            )
        self._one_backup.check(segment.info, self._backup.where(stored.key))
        self._largest[stored.range] = segment.info.largest
        return segment

    async def _read_last(self, part: Part) -> Segment:
        """Reads a part for the last time: it is not kept any longer."""
        segment = await self.read(part)
        if segment is self._kept:
            self._kept = None
        return segment

    async def _take(self, stored: StoredSegment) -> Segment:
        """Reads a segment, unless it is the one that a restore begins with and was read before.

        That one is looked at several times before it is loaded: for code, and for the state at its start.
        """
        if self._kept is not None and self._kept.info.range == stored.range:
            return self._kept
        segment = await self._backup.read(stored)
        if stored.range == self._begins:
            self._kept = segment
        return segment

    @override
    async def load(self, part: Part) -> AsyncIterator[LogChunk]:
        segment = await self._read_last(part)
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
        segment = await self._read_last(part)
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

    @override
    async def state(self, tx: int) -> State:
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
        unread = [part for part in parts if part.range not in self._largest]
        await each(unread, self.read, at_once=SEGMENTS_AT_ONCE)
        seen = SeenIds()
        for part in parts:
            seen.merge(self._largest[part.range])
        return seen

    @override
    async def excisions(self) -> Excisions:
        requests = await by_t(self, await requests_of(self._backup, self.base))
        return await covered_in(self._backup, self.base, requests)

    @override
    async def some(self, attributes: Collection[int], start: int, end: int) -> list[tuple[int, Datom]]:
        return await some_of(self._backup, attributes, start, end)

    @override
    async def code(self, start: int, end: int) -> list[Found]:
        for part in self.parts(start)[:1]:
            if part.range != self._begins:
                self._begins, self._kept = part.range, None
        return await code_of(self._backup, self._take, self.base, start, end)

    @override
    async def schema(self) -> Schema:
        segment = await self.read(self._parts[-1])
        try:
            schema = await self._schemas.before(segment)
        except (DamageError, Conflict) as exc:
            exc.hint += " What comes before can be had whole: `until_t`, without `exclude` and `rewrite`."
            raise
        async for chunk in decoded(segment):
            for transaction in chunk.transactions():
                schema.apply(transaction.datoms)
        return schema


@contextmanager
def _listed(backup: Backup, stored: StoredSegment) -> Iterator[None]:
    """A segment that was listed was there: it is not missing, but others have replaced it."""
    try:
        yield
    except NotFound as exc:
        raise Unavailable(
            f"{backup.where(stored.key)} is gone since the backup was listed",
            hint="Run the same command again: if others have replaced it, they are read then.",
        ) from exc


async def decoded(segment: Segment) -> AsyncIterator[LogChunk]:
    """Decodes row groups one at a time, in a thread, as they are asked for."""
    for group in range(segment.groups):
        yield await to_thread.run_sync(segment.chunk, group)
