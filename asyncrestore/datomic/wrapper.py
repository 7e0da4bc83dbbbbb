"""A database that passes everything on to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from asyncrestore.datomic.base import Database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Submission
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.log import LogChunk


class DatabaseWrapper(Database):
    """A database that passes every call on to another one. Subclass it to change some of them.

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

    @override
    async def basis_t(self) -> int:
        return await self.inner.basis_t()

    @override
    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        return await self.inner.read_log(start, end, size=size)

    @override
    async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
        return await self.inner.transaction_ts(start, end)

    @override
    async def schema_history(self) -> LogChunk:
        return await self.inner.schema_history()

    @override
    async def submit(self, batch: Sequence[TxData]) -> Submission:
        return await self.inner.submit(batch)

    @override
    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        return await self.inner.transact_edn(transactions)

    @override
    async def entities_with(self, attribute: str, values: Sequence[int]) -> list[list[int]]:
        return await self.inner.entities_with(attribute, values)

    @override
    async def values_of(self, attribute: str, entities: Sequence[int]) -> list[int | None]:
        return await self.inner.values_of(attribute, entities)
