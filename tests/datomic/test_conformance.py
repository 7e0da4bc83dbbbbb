"""The public check of databases: the engines pass it, and one that breaks a promise does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.base import Submission
from asyncrestore.testing import DatabaseWrapper, check_database
from tests.support.engines import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.log import LogChunk
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("engine", IN_MEMORY)
async def test_the_engines_keep_their_promises(new_database: NewDatabase) -> None:
    await check_database(await new_database())


class Reordering(DatabaseWrapper):
    """Sends the third batch before the second."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner)
        self._held: list[Sequence[TxData]] = []
        self._batches = 0

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        self._batches += 1
        if self._batches == 2:
            return Later(self, batch)
        return await self.inner.submit(batch)


class Later(Submission):
    """A batch that is sent only when its result is wanted."""

    def __init__(self, database: Reordering, batch: Sequence[TxData]) -> None:
        self._database, self._batch = database, batch

    async def result(self) -> Any:
        return await (await self._database.submit(self._batch)).result()


class Truncating(DatabaseWrapper):
    """Loses the last datom of each page."""

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        next_t, chunk = await self.inner.read_log(start, end, size=size)
        return next_t, chunk.until(chunk.tx[-1] - 1) if size == 7 and chunk else chunk


@pytest.mark.parametrize(("broken", "promise"), [(Reordering, "in the order"), (Truncating, "pages of 7")])
async def test_a_broken_promise_is_named(
    new_database: NewDatabase, broken: Callable[[Database], Any], promise: str
) -> None:
    with pytest.raises(AssertionError, match=promise):
        await check_database(broken(await new_database()))
