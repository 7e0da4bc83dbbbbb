"""What the commands are given, by URI or already open: a store, a database, or either as a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from anyio import to_thread

from asyncrestore.datomic.base import Database
from asyncrestore.datomic.uri import is_database_uri
from asyncrestore.filters import Filter
from asyncrestore.history import History, LiveHistory, StoredHistory
from asyncrestore.stores import open_store
from asyncrestore.stores.base import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncrestore.datomic.database import Connector
    from asyncrestore.rewrites import Rewrite

AnyStore: TypeAlias = str | Store
AnyDatabase: TypeAlias = str | Database
AnyHistory: TypeAlias = str | Store | Database


def as_store(store: AnyStore) -> Store:
    """The store itself; raises `UsageError` for a URI that is none."""
    return open_store(store) if isinstance(store, str) else store


async def as_database(connector: Connector, database: AnyDatabase, *, create: bool = False) -> Database:
    """The open database; raises as `Connector.open`."""
    return await connector.open(database, create=create) if isinstance(database, str) else database


async def as_history(connector: Connector, history: AnyHistory, name: str | None) -> History:
    """The history in a store or of a live database; `name` is of the backup in a store with several."""
    if isinstance(history, str):
        history = await connector.open(history) if is_database_uri(history) else open_store(history)
    if isinstance(history, Database):
        return await LiveHistory.open(history)
    return await StoredHistory.open(history, name)


async def as_filter(
    history: History,
    exclude: Iterable[str],
    exclude_schema: bool,
    rewrite: Mapping[str, Rewrite] | None,
    key: bytes | None,
) -> Filter | None:
    """The filter that was asked for, None when nothing was; raises as `Filter`."""
    if not (exclude or exclude_schema or rewrite):
        return None
    schema = await history.schema()
    # In a thread: a function to rewrite with may have to be imported.
    return await to_thread.run_sync(
        lambda: Filter(schema, exclude=exclude, exclude_schema=exclude_schema, rewrite=rewrite, key=key)
    )
