"""A database that is read no faster than it is told to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.datomic.throttled import ThrottledDatabase
from asyncrestore.errors import UsageError
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore

if TYPE_CHECKING:
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio


async def test_a_page_waits_for_the_time_of_those_before(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    monkeypatch.setattr(anyio, "sleep", sleep)
    database = ThrottledDatabase(await new_database(), 10, clock=lambda: now_s)
    end = await database.basis_t() + 1
    read = 0
    for _ in range(3):
        _, chunk = await database.read_log(0, end, size=1_000_000)
        assert now_s == pytest.approx(100 + read / 10)
        read += len(chunk)
    assert read > 100


async def test_a_rate_without_a_database_to_read() -> None:
    with pytest.raises(UsageError, match="`read_rate` is for reading `live`"):
        await verify(MemoryStore(), read_rate=5)
