"""Opens what jobs are called with: a store or a database, by URI or already open, or either as a history."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

from asyncrestore.datomic.base import Database
from asyncrestore.datomic.checked import CheckedDatabase
from asyncrestore.datomic.throttled import ThrottledDatabase
from asyncrestore.datomic.uri import is_database_uri
from asyncrestore.history.live import LiveHistory
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs.arguments import wrong
from asyncrestore.stores import open_store
from asyncrestore.stores.base import Store
from asyncrestore.stores.encrypted import encrypted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncrestore.datomic.database import Connector
    from asyncrestore.history.base import History
    from asyncrestore.stores.encrypted import Encryption

AnyStore: TypeAlias = str | PathLike[str] | Store
AnyDatabase: TypeAlias = str | Database
AnyHistory: TypeAlias = str | PathLike[str] | Store | Database


@asynccontextmanager
async def as_store(
    store: AnyStore, encryption: Encryption | None = None, *, plain_too: bool = False, argument: str = "store"
) -> AsyncIterator[Store]:
    """Opens a store for the context if it is a URI, and wraps it if it is encrypted.

    Args:
        store: a store, open, as a URI or as the path of a directory.
        encryption: the store's key, if it is encrypted.
        plain_too: also read objects that are not encrypted (see `encrypted`).
        argument: the caller's argument that names the store, for messages.

    Raises:
        UsageError: the URI is not that of a store, the key cannot be used, or `store` is something else.
    """
    async with AsyncExitStack() as stack:
        if isinstance(store, str | PathLike):
            store = await stack.enter_async_context(open_store(store))
        elif not isinstance(store, Store):
            raise wrong(argument, "a Store, its URI or the path of a directory", store)
        yield await stack.enter_async_context(encrypted(store, encryption, plain_too=plain_too))


async def as_database(
    connector: Connector, database: AnyDatabase, *, create: bool = False, argument: str
) -> Database:
    """Returns the open database.

    Args:
        connector: opens it.
        database: a database, open or as a URI.
        create: make it if it does not exist.
        argument: the caller's argument that names the database, for messages.

    Raises:
        UsageError: `database` is something else.
        AsyncRestoreError: whatever `Connector.open` raises.
    """
    if isinstance(database, str):
        return await connector.open(database, create=create)
    if not isinstance(database, Database):
        raise wrong(argument, "a Database or its URI", database)
    return database


async def as_source(
    connector: Connector, database: AnyDatabase, *, argument: str = "source", read_rate: int | None = None
) -> CheckedDatabase:
    """Returns the open database, whose log is checked as it is read; raises what `as_database` raises.

    Args:
        connector: opens it.
        database: a database, open or as a URI.
        argument: the caller's argument that names the database, for messages.
        read_rate: at most so many datoms of its log are read a second; None for any number.
    """
    opened = await as_database(connector, database, argument=argument)
    return CheckedDatabase(opened if read_rate is None else ThrottledDatabase(opened, read_rate))


@asynccontextmanager
async def as_history(
    connector: Connector,
    history: AnyHistory,
    name: str | None,
    encryption: Encryption | None = None,
    until_t: int | None = None,
) -> AsyncIterator[History]:
    """Opens the history in a store or of a live database.

    Args:
        connector: opens databases.
        history: a store or a database, open or as a URI; or the path of a directory.
        name: of the backup, if the store has several.
        encryption: the store's key, if it is encrypted.
        until_t: nothing after this t is needed.
    """
    if isinstance(history, str) and is_database_uri(history):
        history = await connector.open(history)
    if isinstance(history, Database):
        yield await LiveHistory.open(CheckedDatabase(history))
    elif not isinstance(history, str | PathLike | Store):
        raise wrong("source", "a Store or a Database, the URI of one, or the path of a directory", history)
    else:
        async with as_store(history, encryption) as store:
            yield await StoredHistory.open(store, name, until_t)
