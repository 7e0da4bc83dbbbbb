"""Wrappers around real databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from asyncrestore.testing import DatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.model.log import LogChunk

NewDatabase: TypeAlias = "Callable[..., Awaitable[BridgeDatabase]]"
"""The fixture `new_database`: makes a database in memory and commits transactions (EDN) to it."""


class EndingAt(DatabaseWrapper):
    """A database as it was when `last_t` was its newest transaction."""

    def __init__(self, inner: Database, last_t: int) -> None:
        super().__init__(inner)
        self._last_t = last_t

    async def basis_t(self) -> int:
        return self._last_t

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        return await self.inner.read_log(start, min(end, self._last_t + 1), size=size)

    async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
        return await self.inner.transaction_ts(start, min(end, self._last_t + 1))
