"""Stores and databases for the commands to work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import asyncrestore
from asyncrestore import open_connector
from tests.support import small_backup

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore import Connector

# A restore has some 12 such segments in flight: stopped near its beginning, it is far from its end.
TRANSACTIONS, SEGMENT_SIZE = 700, 20
SCHEMA = (
    "[{:db/ident :item/number :db/valueType :db.type/long :db/cardinality :db.cardinality/one"
    "  :db/unique :db.unique/identity}"
    " {:db/ident :item/next :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]"
)


@dataclass(frozen=True)
class Place:
    """What the commands work on; databases are durable.

    Attributes:
        store: with one backup, `items`.
        several: a store with two backups.
        restored: a database that was restored from the smaller of those.
        foreign: a database with data of its own.
        storage: URI of the system that they are in, to be formatted with a database's name.
    """

    store: str
    several: str
    restored: str
    foreign: str
    storage: str


@pytest.fixture(scope="session")
async def place(connector: Connector, tmp_path_factory: pytest.TempPathFactory) -> Place:
    directory = tmp_path_factory.mktemp("cli")
    storage = f"datomic:local://cli/{{}}?storage-dir={directory / 'datomic'}"
    place = Place(
        str(directory / "store"),
        str(directory / "several"),
        storage.format("restored"),
        storage.format("foreign"),
        storage,
    )
    items = await connector.open("datomic:local://cli/items?storage-dir=:mem", create=True)
    numbers = [f"[{{:item/number {n} :item/next {{:item/number {n + 1}}}}}]" for n in range(TRANSACTIONS)]
    await items.transact_edn([SCHEMA, *numbers])
    few = await connector.open("datomic:local://cli/few?storage-dir=:mem", create=True)
    await few.transact_edn([SCHEMA, *numbers[:10]])
    await asyncrestore.backup(items, place.store, segment_size=SEGMENT_SIZE)
    for name in ("a", "b"):
        await asyncrestore.backup(few, place.several, name=name)
    # A JVM of its own: it locks the directory, and the commands' JVMs need it.
    async with open_connector() as own:
        await asyncrestore.restore(few, await own.open(place.restored, create=True))
        foreign = await own.open(place.foreign, create=True)
        await foreign.transact_edn([SCHEMA])
    return place


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a small backup, `db`."""
    return small_backup.write(tmp_path / "store")
