"""A backup to work on, and the command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import asyncrestore
from asyncrestore import open_connector
from tests import small

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    return small.write(tmp_path / "store")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "asyncrestore", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings that a developer may have."""
    kept = ("ASYNCRESTORE_CACHE_DIR", "ASYNCRESTORE_MAVEN_REPOSITORY")
    plain = {k: v for k, v in os.environ.items() if not k.startswith("ASYNCRESTORE_") or k in kept}
    return {**plain, **more}


def run_cli(
    arguments: Sequence[str], *, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=cwd,
        env=environment(**variables),
    )
