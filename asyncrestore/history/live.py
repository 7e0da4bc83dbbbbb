"""The history of a live database, read a page at a time; its parts only measure progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from asyncrestore.errors import (
    Conflict,
    Overtaken,
)
from asyncrestore.excision.excised import Excisions
from asyncrestore.excision.requests import Components, requests_in
from asyncrestore.history.base import PAGE_WEIGHT, History, Part
from asyncrestore.history.bootstrap import ROLLED_BACK, beginning_until
from asyncrestore.history.scan import by_t
from asyncrestore.model.code import code_attributes, code_in
from asyncrestore.model.ids import SeenIds
from asyncrestore.model.log import LogChunk, tx_to_t
from asyncrestore.model.schema import SchemaHistory
from asyncrestore.model.state import State
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.segment import last_before

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from asyncrestore.datomic.base import Database
    from asyncrestore.excision.requests import Request
    from asyncrestore.history.bootstrap import Beginning
    from asyncrestore.model.code import Found
    from asyncrestore.model.log import Datom, Transaction
    from asyncrestore.model.schema import Schema


LIVE_PART = 10_000
"""How many t a part of a live database covers: as many as a segment."""

_COUNTED_T = 1_000_000
"""In how large a range of t transactions are counted at once: 8 MB of numbers."""


class LiveHistory(History):
    """The history of a database up to its basis t when this was opened.

    Attributes:
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

    @override
    def parts(self, start: int) -> list[Part]:
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

    @override
    async def load(self, part: Part) -> AsyncIterator[LogChunk]:
        return self._pages(part.range)

    async def _pages(self, range_: SegmentRange) -> AsyncIterator[LogChunk]:
        start: int | None = range_.start
        while start is not None:
            start, chunk = await self._database.read_log(start, range_.end, size=PAGE_WEIGHT)
            yield chunk

    @override
    async def state(self, tx: int) -> State:
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

    @override
    async def schema(self) -> Schema:
        return self._schemas.as_of(self.end - 1)

    @override
    async def excisions(self) -> Excisions:
        requests = await by_t(self, self.requests)
        components = Components(requests)
        if components.attributes:
            async for chunk in self._pages(SegmentRange(0, components.end)):
                components.add(chunk)
        return Excisions(self.base, requests, components)

    @override
    async def some(self, attributes: Collection[int], start: int, end: int) -> list[tuple[int, Datom]]:
        wanted = frozenset(attributes)
        pages = self._pages(SegmentRange(start, end))
        return [row async for chunk in pages for row in chunk.rows() if row[1][1] in wanted]

    @override
    async def code(self, start: int, end: int) -> list[Found]:
        rows = list(self._schema_log.rows())
        functions = {entity for entity, name in self.base.items() if name == "db.type/fn"}
        known = code_attributes(self.base, rows)
        # Attributes of somebody's own may have functions, too. It takes the whole log to find these.
        if any(kind == "r" and raw in functions and e not in known for _, (e, _, kind, raw, _) in rows):
            async for chunk in self._pages(SegmentRange(start, end)):
                rows += [row for row in chunk.rows() if row[1][2] == "c" and row[1][1] not in known]
        return [found for found in code_in(rows, self.base, start) if found.code.t < end]
