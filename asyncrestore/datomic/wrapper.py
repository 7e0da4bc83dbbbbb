"""A database that passes everything on to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Database, Submission
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.log import LogChunk


class DatabaseWrapper:
    """A `Database` that passes every call on to another one. Subclass it to change some of them.

    Args:
        database: an open one.

    Attributes:
        inner: that database.
    """

    def __init__(self, database: Database) -> None:
        self.inner = database
        self.name = database.name
        self.uri = database.uri
        self.identity = database.identity
        self.ordered = database.ordered

    async def basis_t(self) -> int:
        """See `Database`."""
        return await self.inner.basis_t()

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        """See `Database`."""
        return await self.inner.read_log(start, end, size=size)

    async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
        """See `Database`."""
        return await self.inner.transaction_ts(start, end)

    async def schema_history(self) -> LogChunk:
        """See `Database`."""
        return await self.inner.schema_history()

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        """See `Database`."""
        return await self.inner.submit(batch)

    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        """See `Database`."""
        return await self.inner.transact_edn(transactions)

    async def entities_with(self, attribute: str, values: Sequence[int]) -> list[list[int]]:
        """See `Database`."""
        return await self.inner.entities_with(attribute, values)

    async def values_of(self, attribute: str, entities: Sequence[int]) -> list[int | None]:
        """See `Database`."""
        return await self.inner.values_of(attribute, entities)
