"""Databases whose log is changed as it is read: faults that a real engine does not make on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from asyncrestore.model.log import LogChunk, tx_to_t
from asyncrestore.testing import DatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import Datom

Row: TypeAlias = "tuple[int, Datom]"


chunk_of = LogChunk.of


class AlteredDatabase(DatabaseWrapper):
    """A database whose log `alter` changes as it is read, and which knows of no other transactions."""

    def __init__(
        self, inner: Database, alter: Callable[[list[Row]], list[Row]], *, schema_too: bool = False
    ) -> None:
        super().__init__(inner)
        self._alter = alter
        self._schema_too = schema_too

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        next_t, chunk = await self.inner.read_log(start, end, size=size)
        return next_t, chunk_of(self._alter(list(chunk.rows())))

    async def schema_history(self) -> LogChunk:
        """In any order, as an index gives it, so `alter` must not need the order of the log."""
        if not self._schema_too:
            return await self.inner.schema_history()
        return chunk_of(self._alter(list((await self.inner.schema_history()).rows())))

    async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
        _, chunk = await self.read_log(start, end, size=1 << 40)
        return [tx_to_t(tx) for tx in chunk.txs()]
