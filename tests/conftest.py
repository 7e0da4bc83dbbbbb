"""What all tests share: one event loop, and one JVM for the databases in memory."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.database import BridgeDatabase, Connector, open_connector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytest_plugins = ["tests.s3"]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop for the session: the bridge's process belongs to it."""
    return "asyncio"


@pytest.fixture(scope="session")
async def connector(anyio_backend: str) -> AsyncIterator[Connector]:
    """Opens databases in the session's JVM."""
    assert anyio_backend == "asyncio"
    async with open_connector() as connector:
        yield connector


@pytest.fixture
def memory_uri() -> str:
    """The URI of a database in memory that no other test uses; it does not exist yet."""
    return f"datomic:local://tests/db{next(_numbers)}?storage-dir=:mem"


@pytest.fixture
def new_database(connector: Connector) -> Callable[..., Awaitable[BridgeDatabase]]:
    """Makes an empty database in memory, and puts transactions (EDN) into it."""

    async def make(*transactions: str) -> BridgeDatabase:
        database = await connector.open(
            f"datomic:local://tests/db{next(_numbers)}?storage-dir=:mem", create=True
        )
        if transactions:
            await database.transact_edn(transactions)
        return database

    return make
