"""A backup in format 1, as the last version that wrote it left it (`tests/data/format-1`), and its source.

The source can be made again, and is the same database: its name and its first transaction are. Its entities
have explicit ids, because Datomic Local chooses the partition of others at random.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from asyncrestore.segments.document import SegmentRange

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase, Connector

NAME = "shop"
OBJECTS = Path(__file__).parents[1] / "data" / "format-1" / NAME
RANGES = (SegmentRange(0, 7), SegmentRange(7, 9), SegmentRange(9, 10), SegmentRange(10, 14))

_CHANGES = (
    # t 6: the first transaction of its own
    """[{:db/ident :p/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
        {:db/ident :p/email :db/valueType :db.type/string :db/cardinality :db.cardinality/one
         :db/unique :db.unique/identity}
        {:db/ident :p/code :db/valueType :db.type/long :db/cardinality :db.cardinality/one
         :db/unique :db.unique/value}
        {:db/ident :p/friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]""",
    '[{:db/id 96757023244300 :p/name "Ann" :p/email "ann@x" :p/code 1}'
    ' {:db/id 96757023244301 :p/name "Bob" :p/email "bob@x" :p/friend [96757023244300]}]',
    # an ident moves to another attribute
    "[{:db/id :p/name :db/ident :p/full-name}]",
    "[{:db/ident :p/name :db/valueType :db.type/keyword :db/cardinality :db.cardinality/many}]",
    '[{:p/email "ann@x" :p/name [:ann :anne] :p/full-name "Ann Other"}]',
    """[[:db/retract :p/code :db/unique :db.unique/value]
        [:db/add :p/code :db/cardinality :db.cardinality/many]]""",
    """[{:db/ident :p/pair :db/valueType :db.type/tuple :db/tupleAttrs [:p/email :p/full-name]
         :db/cardinality :db.cardinality/one}]""",
    '[{:p/email "bob@x" :p/code [2 3]}]',
    # t 14: what the backup does not have yet
    '[{:db/id 96757023244302 :p/email "cy@x" :p/full-name "Cy"}]',
    "[{:db/ident :p/age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]",
    '[{:p/email "cy@x" :p/age 7}]',
)


async def make_source(connector: Connector, storage: Path) -> BridgeDatabase:
    """Makes the source again, in a new directory: a database in memory would have an id of its own."""
    database = await connector.open(f"datomic:local://tests/{NAME}?storage-dir={storage}", create=True)
    dated = [
        f'{text[:-1]} [:db/add "datomic.tx" :db/txInstant #inst "2024-01-{day:02}"]]'
        for day, text in enumerate(_CHANGES, 1)
    ]
    await database.transact_edn(dated)
    return database


def copy_objects(store: Path) -> Path:
    """Copies the backup into a directory that does not exist yet; returns the directory."""
    shutil.copytree(OBJECTS, store / NAME)
    return store
