"""What the commands are given, by URI or already open: a store, a database, or either as a history."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from asyncrestore.datomic.base import Database
from asyncrestore.datomic.uri import is_database_uri
from asyncrestore.history import History, LiveHistory, StoredHistory
from asyncrestore.stores import open_store
from asyncrestore.stores.base import Store
from asyncrestore.stores.encrypted import encrypted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncrestore.datomic.database import Connector
    from asyncrestore.stores.encrypted import Encryption

AnyStore: TypeAlias = str | Store
AnyDatabase: TypeAlias = str | Database
AnyHistory: TypeAlias = str | Store | Database


@asynccontextmanager
async def as_store(
    store: AnyStore, encryption: Encryption | None = None, *, plain_too: bool = False
) -> AsyncIterator[Store]:
    """The store, opened for the context if it is a URI; raises `UsageError` for one that is none.

    With `encryption` it is an encrypted one; see `encrypted`.
    """
    async with AsyncExitStack() as stack:
        if isinstance(store, str):
            store = await stack.enter_async_context(open_store(store))
        yield await stack.enter_async_context(encrypted(store, encryption, plain_too=plain_too))


async def as_database(connector: Connector, database: AnyDatabase, *, create: bool = False) -> Database:
    """The open database; raises as `Connector.open`."""
    return await connector.open(database, create=create) if isinstance(database, str) else database


@asynccontextmanager
async def as_history(
    connector: Connector, history: AnyHistory, name: str | None, encryption: Encryption | None = None
) -> AsyncIterator[History]:
    """The history in a store or of a live database.

    Args:
        connector: opens databases.
        history: a store or a database, open or as a URI.
        name: of the backup in a store with several.
        encryption: the store's key, where it is encrypted.
    """
    if isinstance(history, str) and is_database_uri(history):
        history = await connector.open(history)
    if isinstance(history, Database):
        yield await LiveHistory.open(history)
    else:
        async with as_store(history, encryption) as store:
            yield await StoredHistory.open(store, name)
