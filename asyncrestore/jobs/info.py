"""Info: what is in a store, a database or a system of databases."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.catalog import backup_names, list_backup
from asyncrestore.datomic.base import Database
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.uri import is_database_uri, parse_uri
from asyncrestore.errors import NotFound, SegmentDamaged
from asyncrestore.filters import describe
from asyncrestore.history import LiveHistory
from asyncrestore.model import tx_to_t
from asyncrestore.opening import as_store
from asyncrestore.schema import ORIGINAL_ID, Schema
from asyncrestore.segment import SegmentRange
from asyncrestore.target import original_ids, own_attributes, recorded_filter, recorded_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.catalog import Backup, StoredSegment
    from asyncrestore.datomic.database import Connector
    from asyncrestore.model import Transaction
    from asyncrestore.opening import AnyHistory
    from asyncrestore.segment import Segment
    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class BackupInfo:
    """One backup in a store, from its file names and its first and newest segment.

    Attributes:
        name: its name in the store.
        end: the first t after it.
        segments: how many there are.
        bytes: their size.
        covered: which t they cover, neighbours joined.
        gaps: which t before `end` are missing.
        overlaps: which t two of the segments that are read cover both; no harm, each is restored once.
        superseded: keys of segments that nobody reads, because others cover as much or more.
        aside: keys of segments that a repair put aside.
        foreign: keys of objects beside them that are no segments.
        source: identity of the source database, None if the newest segment is damaged.
        source_name: name of the source database, likewise.
        first_instant: `:db/txInstant` of the first transaction of its own history, if there is one.
        last_instant: of the newest transaction, likewise.
        problem: why a segment could not be read; empty if none was found damaged (`verify` reads them all).
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
    first_instant: datetime | None = None
    last_instant: datetime | None = None
    problem: str = ""


@dataclass(slots=True)
class StoreInfo:
    """A store and its backups."""

    store: str
    backups: list[BackupInfo] = field(default_factory=list)


@dataclass(slots=True)
class DatabaseInfo:
    """A database.

    Attributes:
        uri: how it was opened.
        name: its name.
        identity: a text that names it for ever.
        basis_t: t of its newest transaction.
        bootstrap_t: t of the last transaction before its own history.
        last_instant: `:db/txInstant` of its newest transaction, None where its own history is empty.
        restored_from: identity of the database that it was restored from, None if it was not.
        filtered: what was left out and rewritten of that, in words; None if nothing was.
        marker_t: source t of the last restored transaction; None where the newest one was not restored.
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


@dataclass(slots=True)
class SystemInfo:
    """The databases of a system, by name."""

    uri: str
    databases: list[str]


async def info(
    place: AnyHistory, *, name: str | None = None, encryption: Encryption | None = None
) -> StoreInfo | DatabaseInfo | SystemInfo:
    """Tells what is in a place.

    Args:
        place: a store or a database, open or as a URI; a URI without a database lists those of the system.
        name: of the one backup that is wanted from a store; without it all are told.
        encryption: the store's key, where it is encrypted.

    Raises:
        NotFound: there is no such store, backup or database.
        UsageError: a URI is wrong.
    """
    if isinstance(place, Database):
        return await _database_info(place)
    if isinstance(place, str) and is_database_uri(place):
        async with open_connector() as connector:
            if not parse_uri(place).db:
                return await _system_info(connector, place)
            return await _database_info(await connector.open(place))
    async with as_store(place, encryption) as store:
        return await _store_info(store, name)


async def _store_info(store: Store, name: str | None) -> StoreInfo:
    names = await backup_names(store)
    if name is not None and name not in names:
        raise NotFound(f"{store.uri} holds no backup named {name!r}", hint=_names_hint(names))
    listed = [await list_backup(store, each) for each in (names if name is None else [name])]
    return StoreInfo(store.uri, [await _backup_info(backup) for backup in listed if backup.segments])


async def _system_info(connector: Connector, uri: str) -> SystemInfo:
    names = sorted(await connector.databases(uri))
    shown = parse_uri(uri).text  # without what may be secret
    if not names:
        raise NotFound(f"{shown} has no databases", hint="Check the system's name and the storage directory.")
    return SystemInfo(shown, names)


def _names_hint(names: list[str]) -> str:
    return f"It holds: {', '.join(names)}" if names else "It holds none."


async def _backup_info(backup: Backup) -> BackupInfo:
    found = BackupInfo(
        backup.name,
        backup.end,
        len(backup.segments),
        sum(segment.size for segment in backup.segments),
        _joined(backup.chain()),
        backup.gaps(),
        backup.overlaps(),
        [segment.key for segment in backup.superseded()],
        list(backup.aside),
        list(backup.foreign),
    )
    try:
        newest = await backup.read(backup.chain()[-1])
        found.source, found.source_name = newest.info.source, newest.info.name
        found.last_instant = await to_thread.run_sync(_last_instant, newest)
        own = newest.info.bootstrap_t + 1
        first = next(segment for segment in backup.chain() if segment.range.end > min(own, backup.end - 1))
        found.first_instant = await to_thread.run_sync(_first_instant, await backup.read(first))
    except (SegmentDamaged, NotFound) as exc:
        found.problem = str(exc)
    return found


def _joined(chain: Iterable[StoredSegment]) -> list[SegmentRange]:
    joined: list[SegmentRange] = []
    for segment in chain:
        if joined and segment.range.start <= joined[-1].end:
            joined[-1] = SegmentRange(joined[-1].start, segment.range.end)
        else:
            joined.append(segment.range)
    return joined


def _instant(transaction: Transaction, schema: Schema) -> datetime | None:
    milliseconds = transaction.instant(schema.id_of("db/txInstant"))
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)


def _first_instant(segment: Segment) -> datetime | None:
    schema = Schema.from_json(segment.info.schema)
    for chunk in segment.chunks():
        for transaction in chunk.transactions():
            if transaction.t > segment.info.bootstrap_t:
                return _instant(transaction, schema)
    return None


def _last_instant(segment: Segment) -> datetime | None:
    schema = Schema.from_json(segment.info.schema)
    last = None
    for transaction in segment.chunk(segment.groups - 1).transactions() if segment.groups else ():
        last = transaction
    return None if last is None or last.t <= segment.info.bootstrap_t else _instant(last, schema)


async def _database_info(database: Database) -> DatabaseInfo:
    history = await LiveHistory.open(database)
    basis_t = history.end - 1
    _, chunk = await database.read_log(basis_t, history.end, size=1)
    # The log of an empty Pro database is empty: what it was born with is not in it.
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
        database.uri,
        database.name,
        history.identity,
        basis_t,
        history.bootstrap_t,
        _instant(own, history.schema_as_of(basis_t)) if own else None,
        restored_from,
        describe(rules) if rules else None,
        marker_t,
    )
