"""What all tests share: one event loop, and one JVM for the databases in memory of each engine."""

from __future__ import annotations

import itertools
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, Phase, settings

from asyncrestore.datomic.database import BridgeDatabase, Connector, open_connector
from asyncrestore.datomic.uri import LOCAL
from tests.support.engines import memory_uri_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.databases import NewDatabase

# Time says nothing here: other work may have the cores. What hangs is ended by the test's own limit, and must
# not be Hypothesis itself: to explain a failure it traces each line, for minutes.
settings.register_profile(
    "timeless",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=set(Phase) - {Phase.explain},
)
settings.load_profile("timeless")

pytest_plugins = ["tests.support.s3"]

_numbers = itertools.count()


MAY_BLOCK = {
    "asyncrestore/paths.py": {"absolute"},  # asks for the working directory
    "asyncrestore/jobs/query.py": {"query", "_scratch_directory"},  # imports DuckDB, makes a directory
    "asyncrestore/stores/s3/client.py": {"open_client"},  # botocore reads its configuration and its models
    "logging/__init__.py": {"emit", "flush"},
    "tests/engine/test_faults.py": {"suspend"},
}
"""Functions, by file, in which a blocking call is no fault of asyncrestore, or too short to matter."""


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """A call of asyncrestore that blocks an event loop raises `BlockingError`."""
    with blockbuster_ctx("asyncrestore") as blocking_calls:
        for call, (file, functions) in itertools.product(
            blocking_calls.functions.values(), MAY_BLOCK.items()
        ):
            call.can_block_in(file, functions)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_jvms() -> Iterator[None]:
    """JVMs without their second compiler: it takes a third of the time of one that lives for seconds."""
    options = f"{os.environ.get('JDK_JAVA_OPTIONS', '')} -XX:TieredStopAtLevel=1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", options.strip())
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop for the session: the bridge's process belongs to it."""
    return "asyncio"


@pytest.fixture(scope="session")
async def connector(anyio_backend: str) -> AsyncIterator[Connector]:
    """Opens databases in the session's JVMs."""
    assert anyio_backend == "asyncio"
    async with open_connector() as connector:
        yield connector


@pytest.fixture
def engine() -> str:
    """The engine of databases in memory; tests that hold for several are parametrised with it."""
    return LOCAL


def _new_uri(engine: str) -> str:
    return memory_uri_of(engine, f"db{next(_numbers)}")


@pytest.fixture
def memory_uri(engine: str) -> str:
    """The URI of a database in memory that no other test uses; it does not exist yet."""
    return _new_uri(engine)


@pytest.fixture(scope="session")
def shared_database(connector: Connector) -> NewDatabase:
    """Makes a database of Local, or of another engine, for fixtures that several tests share.

    No other has its name: such a fixture may be made more than once in a session.
    """

    async def make(*transactions: str, of: str = LOCAL) -> BridgeDatabase:
        database = await connector.open(_new_uri(of), create=True)
        if transactions:
            await database.transact_edn(transactions)
        return database

    return make


@pytest.fixture
def new_database(shared_database: NewDatabase, engine: str) -> NewDatabase:
    """Makes an empty database in memory, and puts transactions (EDN) into it."""
    return partial(shared_database, of=engine)
