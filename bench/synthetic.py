"""A history of any length to measure with, the same for the same seed: small transactions of some 24 datoms.

Each makes two entities, one of which refers to the other and one to an older one, changes five values of
cardinality one of older entities (a retraction and an assertion each), and adds one of cardinality many. Of
the older entities half are from the last thousand, half from all: a cache of ids has something to do.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from asyncrestore.datomic.database import open_connector
from asyncrestore.history.live import LiveHistory
from asyncrestore.jobs.backup import backup
from bench.recording import EndingAt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.children import Result

DATOMS = 23
"""In a transaction with its instant, at least; 24 in most."""

RECENT = 1_000
AT_ONCE = 500

SCHEMA = """[
  {:db/ident :item/id :db/valueType :db.type/long :db/cardinality :db.cardinality/one
   :db/unique :db.unique/identity}
  {:db/ident :item/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :item/count :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :item/parent :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :item/made :db/valueType :db.type/instant :db/cardinality :db.cardinality/one}
  {:db/ident :item/tags :db/valueType :db.type/keyword :db/cardinality :db.cardinality/many}]"""
FIRST = '[{:item/id 0 :item/name "first"} {:item/id 1 :item/name "second"}]'


def transactions(seed: int) -> Iterator[str]:
    """The transactions as EDN, without end; the first two make the schema and what the others refer to."""
    random = Random(seed)  # noqa: S311 - repeatable, and no secret
    yield SCHEMA
    yield FIRST
    items, changes = 2, 0
    while True:
        recent = max(0, items - RECENT)
        known = [random.randrange(*random.choice([(0, items), (recent, items)])) for _ in range(6)]
        maps = [
            _item(random, items, f"[:item/id {known[0]}]"),
            _item(random, items + 1, '"0"'),
            f"{{:item/id {known[1]} :item/tags :tag/t{changes}}}",
            f"{{:item/id {known[2]} :item/parent [:item/id {items - 1}]}}",
        ]
        for each in set(known[2:]):
            changes += 1
            maps.append(f"{{:item/id {each} :item/count {1_000_000 + changes}}}")
        yield f"[{' '.join(maps)}]"
        items += 2


def _item(random: Random, number: int, parent: str) -> str:
    """A new entity; the even ones have a tempid, by which the odd one beside them refers to them."""
    name = f'"{random.choice(_WORDS)} {random.choice(_WORDS)} {number}"'
    tempid = ':db/id "0" ' if number % 2 == 0 else ""
    made = f"20{random.randrange(10, 25)}-0{random.randrange(1, 10)}-1{random.randrange(10)}"
    return (
        f"{{{tempid}:item/id {number} :item/name {name} :item/count {random.randrange(1000)} "
        f":item/parent {parent} :item/tags :tag/t{random.randrange(50)} "
        f':item/made #inst "{made}"}}'
    )


_WORDS = ["amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll"]


async def generate(directory: str, sizes: list[int], seed: int = 1) -> Result:
    """Makes a database in memory, and a backup of its first transactions for each size (in datoms)."""
    texts = transactions(seed)
    wanted = {size: max(3, -(-size // DATOMS)) for size in sizes}
    async with open_connector() as connector:
        database = await connector.open("datomic:local://bench/synthetic?storage-dir=:mem", create=True)
        left = max(wanted.values())
        while left:
            batch = list(islice(texts, min(left, AT_ONCE)))
            await database.transact_edn(batch)
            left -= len(batch)
        bootstrap_t = (await LiveHistory.open(database)).bootstrap_t
        stores = []
        for size, count in wanted.items():
            store = Path(directory) / f"store-{size}"
            # Datomic Local's t has no holes.
            report = await backup(EndingAt(database, bootstrap_t + count), str(store))
            stores.append({"path": str(store), "transactions": count, "datoms": report.datoms})
    return {"stores": stores}
