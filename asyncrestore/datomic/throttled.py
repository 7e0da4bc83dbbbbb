"""A database that is read no faster than it is told to be."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import anyio
from typing_extensions import override

from asyncrestore.datomic.wrapper import DatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import LogChunk


class ThrottledDatabase(DatabaseWrapper):
    """A `Database` of whose log at most so many datoms a second are read, by all readers together.

    A page waits until those read before have had their time. So each reader has at most a page at once.

    Args:
        database: an open one.
        datoms_per_s: how many.
        clock: returns the time in seconds; monotonic.
    """

    def __init__(
        self, database: Database, datoms_per_s: int, *, clock: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(database)
        self._datoms_per_s = datoms_per_s
        self._clock = clock
        self._due_s = clock()

    @override
    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        await anyio.sleep(max(0.0, self._due_s - self._clock()))
        next_t, chunk = await self.inner.read_log(start, end, size=size)
        self._due_s = max(self._due_s, self._clock()) + len(chunk) / self._datoms_per_s
        return next_t, chunk
