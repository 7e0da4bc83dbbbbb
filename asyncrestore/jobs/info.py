"""Info: describes a store, a database or a system of databases."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.datomic.base import Database
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.engines import parse_uri
from asyncrestore.datomic.uri import is_database_uri
from asyncrestore.errors import OTHERWISE_PROTECTED, UNREADABLE, NotFound
from asyncrestore.filters.filter import describe
from asyncrestore.history.catalog import backup_names, list_backup
from asyncrestore.history.copies import original_ids, own_attributes, recorded_filter, recorded_source
from asyncrestore.history.live import LiveHistory
from asyncrestore.history.scan import code_of
from asyncrestore.jobs.arguments import texts, wrong
from asyncrestore.jobs.inspection import check_key_of
from asyncrestore.jobs.opening import as_source, as_store
from asyncrestore.model.code import once
from asyncrestore.model.log import tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID
from asyncrestore.model.values import to_python
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores.base import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.datomic.database import Connector
    from asyncrestore.history.catalog import Backup, StoredSegment
    from asyncrestore.jobs.opening import AnyDatabase, AnyHistory, AnyStore
    from asyncrestore.model.code import Code
    from asyncrestore.model.log import Transaction
    from asyncrestore.segments.segment import Segment
    from asyncrestore.stores.encrypted import Encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupInfo:
    """One backup in a store.

    It is as its file names and its first and newest segment describe it; for `code` all are read.

    Attributes:
        name: its name in the store.
        end: the first t after the backup.
        segments: how many segments it has.
        bytes: size of all segments.
        covered: ranges of t that the segments cover; adjacent ones are joined.
        gaps: ranges of t before `end` that no segment covers.
        overlaps: ranges of t that two of the segments to be read cover. They do no harm: each transaction is
            restored once.
        superseded: keys of segments that nobody reads, because others cover as much or more.
        aside: keys of segments that a repair put aside.
        foreign: keys of objects beside the segments that do not belong to a backup.
        source: identity of the source database, None if the newest segment cannot be read.
        source_name: name of the source database, None if the newest segment cannot be read.
        id: id of the backup, None if the newest segment has none or cannot be read.
        first_instant: `:db/txInstant` of the first transaction of the database's own history; None if that is
            empty or was not readable.
        last_instant: `:db/txInstant` of the newest transaction of that history; None in the same cases.
        code: what names code or is code in its history, each with each attribute once. A segment that cannot
            be read is passed over.
        problem: why the first or the newest segment could not be read; empty if both could be. `verify`
            checks them all.
    """

    name: str
    end: int
    segments: int
    bytes: int
    covered: list[SegmentRange]
    gaps: list[SegmentRange]
    overlaps: list[SegmentRange]
    superseded: list[str]
    aside: list[str]
    foreign: list[str]
    source: str | None = None
    source_name: str | None = None
    id: str | None = None
    first_instant: datetime | None = None
    last_instant: datetime | None = None
    code: list[Code] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """A store and its backups.

    Attributes:
        store: the store's URI.
        backups: its backups, by name.
    """

    store: str
    backups: list[BackupInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseInfo:
    """A database.

    Attributes:
        uri: the URI that it was opened by.
        name: its name.
        identity: a text that identifies it and never changes.
        basis_t: t of its newest transaction.
        bootstrap_t: t of the last transaction before its own history.
        last_instant: `:db/txInstant` of its newest transaction, None if its own history is empty.
        restored_from: identity of the database that it was restored from, None if it was not restored.
        filtered: description of what that restore left out and rewrote, None if nothing.
        marker_t: source t of the last restored transaction, None if the newest transaction was not restored.
        code: what names code or is code in its history, each with each attribute once.
    """

    uri: str
    name: str
    identity: str
    basis_t: int
    bootstrap_t: int
    last_instant: datetime | None
    restored_from: str | None
    filtered: str | None
    marker_t: int | None
    code: list[Code] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemInfo:
    """A system of databases.

    Attributes:
        uri: the system's URI.
        databases: names of its databases, sorted.
    """

    uri: str
    databases: list[str]


async def info(
    place: AnyHistory, *, name: str | None = None, encryption: Encryption | None = None
) -> StoreInfo | DatabaseInfo | SystemInfo:
    """Describes a store, a database or a system of databases: one of the three functions after this.

    Args:
        place: a store or a database, open or as a URI; or the URI of a system, which names no database.
        name: name of the only backup in a store to describe. Default: all of them.
        encryption: the store's key, if the store is encrypted.

    Returns:
        For a store a `StoreInfo`, for a database a `DatabaseInfo`, for a system a `SystemInfo`.

    Raises:
        NotFound: the store, the backup or the database does not exist, or the system has no databases.
        UsageError: a URI is malformed.
        NotAuthorized: a backup is encrypted or signed with another key, or encrypted, and no key was given.
        Conflict: a key was given, and nothing in a backup is protected by one.
    """
    if isinstance(place, str) and is_database_uri(place):
        return await (database_info(place) if parse_uri(place).db else system_info(place))
    if isinstance(place, Database):
        return await database_info(place)
    if not isinstance(place, str | PathLike | Store):
        raise wrong("place", "a Store or a Database, the URI of one, or the path of a directory", place)
    return await store_info(place, name=name, encryption=encryption)


async def store_info(
    store: AnyStore, *, name: str | None = None, encryption: Encryption | None = None
) -> StoreInfo:
    """Describes a store and its backups.

    Args:
        store: a store, open or as a URI; or the path of a directory.
        name: name of the only backup to describe. Default: all of them.
        encryption: the store's key, if the store is encrypted.

    Raises:
        NotFound: the store or the backup does not exist.
        UsageError: the URI is malformed, or an argument is of another type.
    """
    texts(name=name)
    async with as_store(store, encryption) as opened:
        return await _store_info(opened, name)


async def database_info(database: AnyDatabase) -> DatabaseInfo:
    """Describes a database.

    Args:
        database: a database, open or as a URI.

    Raises:
        NotFound: the database does not exist.
        UsageError: the URI is malformed, or names no database.
    """
    async with open_connector() as connector:
        return await _database_info(await as_source(connector, database, argument="database"))


async def system_info(uri: str) -> SystemInfo:
    """Describes a system of databases.

    Args:
        uri: of the system; the name of a database in it does not count.

    Raises:
        NotFound: the system has no databases.
        UsageError: the URI is malformed.
    """
    if not isinstance(uri, str):
        raise wrong("uri", "a text", uri)
    async with open_connector() as connector:
        return await _system_info(connector, uri)


async def _store_info(store: Store, name: str | None) -> StoreInfo:
    names = await backup_names(store)
    if name is not None and name not in names:
        raise NotFound(f"{store.uri} holds no backup named {name!r}", hint=_names_hint(names))
    listed = [await list_backup(store, each) for each in (names if name is None else [name])]
    return StoreInfo(
        store=store.uri, backups=[await _backup_info(backup) for backup in listed if backup.segments]
    )


async def _system_info(connector: Connector, uri: str) -> SystemInfo:
    names = sorted(await connector.databases(uri))
    shown = parse_uri(uri).text  # without parts that may be secret
    if not names:
        raise NotFound(f"{shown} has no databases", hint="Check the system's name and the storage directory.")
    return SystemInfo(uri=shown, databases=names)


def _names_hint(names: list[str]) -> str:
    return f"It holds: {', '.join(names)}" if names else "It holds none."


async def _backup_info(backup: Backup) -> BackupInfo:
    source = source_name = id_ = first_instant = last_instant = None
    code: list[Code] = []
    problem = ""
    try:
        newest = await backup.read(backup.chain()[-1])
        source, source_name, id_ = newest.info.source, newest.info.name, newest.info.backup
        last_instant = await to_thread.run_sync(_last_instant, newest)
        own = newest.info.bootstrap_t + 1
        first = next(segment for segment in backup.chain() if segment.range.end > min(own, backup.end - 1))
        first_instant = await to_thread.run_sync(_first_instant, await backup.read(first))
        code = once(await code_of(backup, backup.read, newest.base.base, own, backup.end))
    except (NotFound, *UNREADABLE) as exc:
        if isinstance(exc, OTHERWISE_PROTECTED):
            await check_key_of(backup)
        problem = str(exc)
    return BackupInfo(
        name=backup.name,
        end=backup.end,
        segments=len(backup.segments),
        bytes=sum(segment.size for segment in backup.segments),
        covered=_joined(backup.chain()),
        gaps=backup.gaps(),
        overlaps=backup.overlaps(),
        superseded=[segment.key for segment in backup.superseded()],
        aside=list(backup.aside),
        foreign=list(backup.foreign),
        source=source,
        source_name=source_name,
        id=id_,
        first_instant=first_instant,
        last_instant=last_instant,
        code=code,
        problem=problem,
    )


def _joined(chain: Iterable[StoredSegment]) -> list[SegmentRange]:
    joined: list[SegmentRange] = []
    for segment in chain:
        if joined and segment.range.start <= joined[-1].end:
            joined[-1] = SegmentRange(joined[-1].start, segment.range.end)
        else:
            joined.append(segment.range)
    return joined


def _instant(transaction: Transaction, tx_instant: int) -> datetime | None:
    milliseconds = transaction.instant(tx_instant)
    instant = None if milliseconds is None else to_python("i", milliseconds)
    return instant if isinstance(instant, datetime) else None  # Datomic has years that datetime lacks


def _first_instant(segment: Segment) -> datetime | None:
    tx_instant = segment.base.id_of("db/txInstant")
    for chunk in segment.chunks():
        for transaction in chunk.transactions():
            if transaction.t > segment.info.bootstrap_t:
                return _instant(transaction, tx_instant)
    return None


def _last_instant(segment: Segment) -> datetime | None:
    last = None
    for transaction in segment.chunk(segment.groups - 1).transactions() if segment.groups else ():
        last = transaction
    if last is None or last.t <= segment.info.bootstrap_t:
        return None
    return _instant(last, segment.base.id_of("db/txInstant"))


async def _database_info(database: Database) -> DatabaseInfo:
    history = await LiveHistory.open(database)
    basis_t = history.end - 1
    _, chunk = await database.read_log(basis_t, history.end, size=1)
    # The log of an empty Pro database is empty: the transactions that it was born with are not in it.
    newest = next(chunk.transactions(), None)
    restored_from = await recorded_source(database, history.bootstrap_t)
    marker_t = None
    rules = await recorded_filter(database, history.bootstrap_t)
    if restored_from is not None and newest is not None:
        original_id = own_attributes(await database.schema_history())[ORIGINAL_ID]
        source_tx = original_ids(newest, original_id).get(newest.tx)
        marker_t = None if source_tx is None else tx_to_t(source_tx)
    own = newest if basis_t > history.bootstrap_t else None
    return DatabaseInfo(
        uri=database.uri,
        name=database.name,
        identity=history.identity,
        basis_t=basis_t,
        bootstrap_t=history.bootstrap_t,
        last_instant=_instant(own, history.tx_instant) if own else None,
        restored_from=restored_from,
        filtered=describe(rules) if rules else None,
        marker_t=marker_t,
        code=once(await history.code(history.bootstrap_t + 1, history.end)),
    )
