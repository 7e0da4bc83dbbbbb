"""Which datoms a request for excision covers: as Datomic Pro's own predicate says."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.uri import PEER
from asyncrestore.history.live import LiveHistory
from asyncrestore.model.log import tx_to_t
from tests.support.excision import covered, place

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.databases import NewDatabase
    from tests.support.excision import Place

pytestmark = pytest.mark.anyio

ONE, MANY = ":db/cardinality :db.cardinality/one", ":db/cardinality :db.cardinality/many"
SCHEMA = f"""[
  {{:db/id "datomic.tx" :db/txInstant #inst "2025-01-01T00:00:00Z"}}
  {{:db/ident :p/name :db/valueType :db.type/string {ONE}}}
  {{:db/ident :p/city :db/valueType :db.type/string {ONE}}}
  {{:db/ident :p/tags :db/valueType :db.type/string {MANY}}}
  {{:db/ident :p/friend :db/valueType :db.type/ref {MANY}}}
  {{:db/ident :p/part :db/valueType :db.type/ref {MANY} :db/isComponent true}}
  {{:db/ident :p/pair :db/valueType :db.type/tuple :db/tupleTypes [:db.type/ref :db.type/long] {ONE}}}]"""


def at(second: int, data: str) -> str:
    return f'[{{:db/id "datomic.tx" :db/txInstant #inst "2025-01-01T00:00:{second:02}Z"}} {data}]'


TWO = (
    at(1, "{:db/id 'a' :p/name 'Ann' :p/tags ['x'] :db/doc 'd'} {:db/id 'b' :p/friend 'a' :p/pair ['a' 1]}"),
    at(2, "{:db/id #a :p/name 'Anne'} [:db/retract #a :p/tags 'x'] {:db/id #a :db/ident :ann/ident}"),
    at(2, "{:db/id #a :p/city 'C'} {:db/id 'datomic.tx' :db/doc 'd'}"),
)
OWNED = (
    at(
        1,
        "{:db/id 'a' :p/name 'Ann' :p/part ['h' 'w' :p/city]} {:db/id 'h' :p/city 'H' :p/part 'k'}"
        "{:db/id 'w' :p/city 'W'} {:db/id 'k' :p/city 'K' :p/part 'a'} {:db/id :p/tags :p/part 'w'}"
        "{:db/id 'o' :p/friend ['h' 'k' :p/city] :p/name 'O'}",
    ),
    at(2, "[:db/retract #a :p/part #h]"),
)
SECOND_2, LATER_THAN_2 = '#inst "2025-01-01T00:00:02Z"', '#inst "2025-01-01T00:00:02.001Z"'
NO_COMPONENTS = at(3, "{:db/id :p/part :db/isComponent false}")
LATER = at(9, "{:db/id #a :p/name 'Later'}")


async def history(new_database: NewDatabase, *transactions: str) -> BridgeDatabase:
    """A database with these transactions. In them #NAME is an entity by its tempid, %N the N-th one's t."""
    database = await new_database(SCHEMA, of=PEER)
    known: dict[str, int] = {}

    def name(found: re.Match[str]) -> str:
        return str(known.get(found[1], found[0]))

    for n, transaction in enumerate(transactions):
        text = re.sub(r"[#%]([\w.]+)", name, transaction).replace("'", '"')
        [(tx, made)] = await database.transact_edn([text])
        known.update(made)
        known[str(n)] = tx_to_t(tx)
    return database


async def ours(database: BridgeDatabase) -> set[Place]:
    found = await LiveHistory.open(database)
    excisions = await found.excisions()
    _, log = await database.read_log(0, found.end, size=10**9)
    return {
        place((transaction.tx, datom))
        for transaction in log.transactions()
        for datom in transaction.datoms
        if excisions.cover(datom, transaction.t)
    }


def asked(request: str, *, second: int = 8) -> str:
    return at(second, f'{{:db/id "r" :p/name "request" {request}}}')


CASES = {
    "entity": (*TWO, asked(":db/excise #a"), LATER),
    "attribute": (*TWO, asked(":db/excise :p/name"), LATER),
    "attributes of an entity": (*TWO, asked(":db/excise #a :db.excise/attrs [:p/name :p/friend]")),
    "attribute of the base schema": (*TWO, asked(":db/excise :db/doc")),
    "before a t": (*TWO, asked(":db/excise #a :db.excise/beforeT %1")),
    "before a t to come": (*TWO, asked(":db/excise #a :db.excise/beforeT 100000"), LATER),
    "attribute before a t": (*TWO, asked(":db/excise :p/name :db.excise/beforeT %1")),
    "before an instant": (*TWO, asked(f":db/excise #a :db.excise/before {SECOND_2}")),
    "before a later instant": (*TWO, asked(f":db/excise #a :db.excise/before {LATER_THAN_2}")),
    "before both": (*TWO, asked(f":db/excise #a :db.excise/beforeT %2 :db.excise/before {SECOND_2}")),
    "same transaction": (at(1, "{:db/id 'a' :p/name 'A'} {:db/id 'r' :db/excise 'a'}"), LATER),
    "components": (*OWNED, asked(":db/excise #a")),
    "other attributes than of components": (*OWNED, asked(":db/excise #a :db.excise/attrs [:p/name]")),
    "attribute of components": (*OWNED, asked(":db/excise #a :db.excise/attrs [:p/part]")),
    "component that comes later": (*OWNED, asked(":db/excise #w"), at(9, "{:db/id #w :p/part #o}")),
    "component that comes with the request": (*OWNED, asked(":db/excise #w :p/part #o")),
    "components no more": (*OWNED, NO_COMPONENTS, asked(":db/excise #a")),
    "components in a circle": (*OWNED, asked(":db/excise #k")),
    "ident": (*TWO, asked(":db/excise :ann/ident")),
    "transaction": (at(1, "{:db/id 'datomic.tx' :p/name 'who'}"), asked(":db/excise #datomic.tx")),
    "limits that came before": (
        *TWO, at(3, "{:db/id 'r' :db.excise/attrs :p/name}"), at(4, "{:db/id #r :db/excise #a}"),
    ),
    "limits that come later": (*TWO, asked(":db/excise #a"), at(9, "{:db/id #r :db.excise/attrs :p/name}")),
    "request that is retracted": (*TWO, asked(":db/excise #a"), at(9, "[:db/retract #r :db/excise #a]")),
    "request for a request": (*TWO, asked(":db/excise #a"), asked(":db/excise #r", second=9)),
}  # fmt: skip
NOTHING = {
    "attribute with attributes": (*TWO, asked(":db/excise :p/name :db.excise/attrs [:p/name]")),
    "what refers to an attribute": (*OWNED, asked(":db/excise :p/city :db.excise/attrs [:p/friend]")),
    "before all": (*TWO, asked(":db/excise #a :db.excise/beforeT %0")),
    "what never was": (*TWO, asked(":db/excise 123456")),
}


@pytest.mark.parametrize("case", [*CASES, *NOTHING])
async def test_what_a_request_covers(new_database: NewDatabase, case: str) -> None:
    database = await history(new_database, *(CASES | NOTHING)[case])

    there = await covered(database)

    assert bool(there) == (case in CASES)
    assert await ours(database) == there


async def test_what_requests_at_random_cover(new_database: NewDatabase) -> None:
    draw = random.Random(4)  # noqa: S311 - test data
    removed = 0
    for _ in range(12):
        names = [f"e{n}" for n in range(8)]
        transactions = [at(1, " ".join(f"{{:db/id '{name}' :p/name '{name}'}}" for name in names))]
        transactions += [at(n // 2, drawn(draw, names, n)) for n in range(4, 100)]
        database = await history(new_database, *transactions)
        there = await covered(database)

        assert await ours(database) == there
        removed += len(there)
    assert removed > 300


def drawn(draw: random.Random, names: list[str], n: int) -> str:
    """An operation: now and then a request, else an assertion or a retraction."""
    e, other, attribute = draw.choice(names), draw.choice(names), draw.choice([":p/friend", ":p/part"])
    target = draw.choice([f"#{e}", f"#{e}", ":p/friend", ":p/tags"])
    limits = [
        "", f" :db.excise/attrs [{draw.choice([':p/tags', ':p/friend', ':p/part'])}]",
        f" :db.excise/beforeT %{draw.randrange(n - 3)}",
        f" :db.excise/before {LATER_THAN_2.replace('02', f'{draw.randrange(n // 2):02}')}",
    ]  # fmt: skip
    return draw.choice([
        *[f"[:db/add #{e} {attribute} #{other}]"] * 8,
        *[f"[:db/retract #{e} {attribute} #{other}]"] * 3,
        *[f"[:db/add #{e} :p/tags '{draw.randrange(9)}']"] * 6,
        f"{{:db/excise {target}{draw.choice(limits)}}}",
    ])  # fmt: skip
