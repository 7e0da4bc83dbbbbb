"""Single rules of restoring, each with a history that needs it; `docs/restore-rules.md` has the reasons."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.commit import TxData
from asyncrestore.model.log import INDEX_MASK, t_to_tx
from asyncrestore.model.positions import ident
from asyncrestore.pipeline import stages
from tests.histories import PEOPLE, SCHEMA
from tests.support.comparison import FIRST_T, check_copy

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

NEVER = 17 << 42 | 30
"""An entity id that looks old but that no entity has."""


async def check(new_database: NewDatabase, *transactions: str) -> BridgeDatabase:
    """Restores a history, and the copy of it, each in one piece."""
    source, target, second = await new_database(*transactions), await new_database(), await new_database()
    await restore(source, target)
    await restore(target, second)
    assert (await verify(source, against=target)).problems == []
    assert (await verify(target, against=second)).problems == []
    await check_copy(source, target, second)
    return source


async def datoms(database: Database, t: int) -> list[Any]:
    """The datoms of one transaction."""
    _, chunk = await database.read_log(t, t + 1, size=1)
    return chunk.datoms()


async def test_retraction_that_was_said_beside_the_change(new_database: NewDatabase) -> None:
    """It is in the source's log twice, and so it is in the target's."""
    change = '[[:db/retract [:p/code 1] :p/name "Ann"] [:db/add [:p/code 1] :p/name "Anne"]]'
    source = await check(new_database, SCHEMA, PEOPLE[0], change)
    assert [raw for *_, raw, added in await datoms(source, FIRST_T + 2) if not added] == ["Ann", "Ann"]


async def test_retraction_of_an_equal_value_beside_the_change(new_database: NewDatabase) -> None:
    """Two spellings of a URI: Datomic's own retraction has the held one, the user's that of the request."""
    source, target = (
        await new_database(
            "[{:db/ident :p/home :db/valueType :db.type/uri :db/cardinality :db.cardinality/one}]",
            "[{:db/ident :e/a}]",
        ),
        await new_database(),
    )
    entity, home = ident("e/a"), ident("p/home")
    changes = [
        TxData(0, [entity, home, "o", "http://a/"], []),
        TxData(0, [entity, home, "o", "http://b/"], [entity, home, "o", "HTTP://A/"]),
    ]
    result = await (await source.submit(changes)).result()  # EDN has no URIs
    assert result.anomaly is None

    await restore(source, target)

    assert (await verify(source, against=target)).problems == []
    retracted = [raw for *_, raw, added in await datoms(source, FIRST_T + 3) if not added]
    assert sorted(retracted) == ["HTTP://A/", "http://a/"]


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_many_values_change_in_one_transaction(new_database: NewDatabase) -> None:
    """Their place in the log shows which retractions are the engine's own."""
    names, kinds = ("a", "b", "c"), {"double": "{}.5", "bigdec": "{}.0M", "string": '"{}"'}
    attributes = [
        f"{{:db/ident :p/{kind} :db/valueType :db.type/{kind} :db/cardinality :db.cardinality/one}}"
        for kind in kinds
    ]
    rounds = [
        " ".join(
            f"[:db/add :e/{name} :p/{kind} {value.format(n + i)}]"
            for i, name in enumerate(names)
            for kind, value in kinds.items()
        )
        for n in range(3)
    ]
    entities = " ".join(f"{{:db/ident :e/{name}}}" for name in names)
    await check(new_database, f"[{' '.join(attributes)} {entities}]", *(f"[{each}]" for each in rounds))


@pytest.mark.parametrize("later", [2, 3, 1000])
async def test_reference_to_a_transaction_still_to_come(new_database: NewDatabase, later: int) -> None:
    """No other entity stands for it: its id is known in advance. It may come, or never."""
    tx = t_to_tx(FIRST_T + later)
    await check(
        new_database,
        SCHEMA,
        f'[[:db/add "a" :p/friend {tx}] [:db/add "b" :p/boss {tx}] [:db/add "b" :p/code 1]]',
        f'[[:db/add "datomic.tx" :p/name "here"] [:db/add "datomic.tx" :p/boss {tx}]]',
        f"[[:db/retract [:p/code 1] :p/boss {tx}]]",
        f'[[:db/add {t_to_tx(FIRST_T)} :p/name "known"] [:db/add [:p/code 1] :p/friend {tx}]]',
    )


async def test_reference_to_an_entity_still_to_come(new_database: NewDatabase) -> None:
    """Its stand-in becomes it. Local draws a partition for each transaction, so all are referred to."""
    source, target = await new_database(SCHEMA, PEOPLE[0]), await new_database()
    newest = max(e & INDEX_MASK for e, a, *_ in await datoms(source, FIRST_T + 1))
    places = [partition << 42 | newest + n for partition in range(17, 24) for n in range(1, 12)]
    friends = " ".join(map(str, places))
    made = await source.transact_edn(
        [f"[{{:p/code 50 :p/friend [{friends}]}}]", *(f'[{{:db/id "e" :p/code {n}}}]' for n in range(51, 55))]
    )
    assert {tempids["e"] for _, tempids in made[1:]} & {*places}

    await restore(source, target)
    assert (await verify(source, against=target)).problems == []


async def test_reference_in_a_tuple_to_what_never_was(new_database: NewDatabase) -> None:
    """The target names it only in its message."""
    await check(
        new_database,
        SCHEMA,
        "[{:db/ident :p/pair :db/valueType :db.type/tuple :db/tupleTypes [:db.type/ref :db.type/ref]"
        " :db/cardinality :db.cardinality/one}]",
        f'[[:db/add "a" :p/pair [{NEVER} {NEVER + 1}]] [:db/add "b" :p/pair ["b" {NEVER}]]]',
    )


@pytest.mark.parametrize("owner", [":p/name", str(t_to_tx(FIRST_T))])
async def test_component_that_never_was_of_an_attribute_or_transaction(
    new_database: NewDatabase, owner: str
) -> None:
    """Its stand-in is neither an attribute nor a transaction: their ids would be given away again."""
    await check(
        new_database,
        SCHEMA,
        f"[[:db/add {owner} :p/address {NEVER}]]",
        f"[[:db/add {owner} :p/address {(23 << 42) + 10**6}]]",
        f"[[:db/add {owner} :p/address {10**7}]]",  # in the partition of attributes
        f'[[:db/add {owner} :p/boss "new"] {{:db/id "new" :db/ident :p/latest :db/valueType :db.type/long'
        " :db/cardinality :db.cardinality/one}]",
        "[{:db/ident :p/more :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]",
        '[{:p/more 1 :p/name "x"}]',
        '[{:p/more 2 :p/address {:p/city "Rome"}}]',
    )


async def test_back_fill_of_one_of_two_composites_that_share_a_component(new_database: NewDatabase) -> None:
    """The component to assert again is the one that the other composite does not have."""
    attr = "{{:db/ident :c/{} :db/valueType :db.type/long :db/cardinality :db.cardinality/one}}"
    both = (
        "{{:db/ident :c/{0}{1} :db/valueType :db.type/tuple :db/tupleAttrs [:c/{0} :c/{1}]"
        " :db/cardinality :db.cardinality/one}}"
    )
    await check(
        new_database,
        f"[{' '.join(attr.format(name) for name in 'xyz')}]",
        "[{:db/ident :e/a :c/x 1 :c/y 2 :c/z 3}]",
        f"[{both.format('x', 'y')} {both.format('x', 'z')}]",
        "[[:db/add :e/a :c/y 2]]",
        "[[:db/add :e/a :c/x 1]]",
        "[[:db/add :e/a :c/x 4]]",
    )


async def test_composite_of_a_value_that_local_drops(new_database: NewDatabase) -> None:
    """An assertion over NaN, or of NaN over a number or beside a retraction, shows in the composite only."""
    source, target = (
        await new_database(
            "[{:db/ident :c/x :db/valueType :db.type/double :db/cardinality :db.cardinality/one}"
            " {:db/ident :c/y :db/valueType :db.type/long :db/cardinality :db.cardinality/one}"
            " {:db/ident :c/xy :db/valueType :db.type/tuple :db/tupleAttrs [:c/x :c/y]"
            " :db/cardinality :db.cardinality/one}]",
            "[{:db/ident :e/a :c/x ##NaN :c/y 1}]",
            "[[:db/add :e/a :c/x 2.0]]",
            "[[:db/add :e/a :c/x 3.0] [:db/add :e/a :c/y 3]]",
            "[[:db/retract :e/a :c/x ##NaN] [:db/add :e/a :c/x 4.0]]",
            "[[:db/add :e/a :c/y 5]]",
            "[[:db/add :e/a :c/x 6.0]]",
            "[[:db/add :e/a :c/x ##NaN] [:db/add :e/a :c/y 8]]",
            "[[:db/add :e/a :c/x ##NaN] [:db/retract :e/a :c/x 6.0] [:db/add :e/a :c/y 6]]",
            "[[:db/add :e/a :c/y 7]]",
        ),
        await new_database(),
    )
    await restore(source, target)

    assert (await verify(source, against=target)).problems == []
    composites = [
        [slot and slot[1] for slot in raw]
        for t in range(FIRST_T + 3, FIRST_T + 5)
        for *_, kind, raw, added in await datoms(source, t)
        if kind == "t" and added
    ]
    assert composites == [[double(3.0), 3], [double(4.0), 3]]


async def test_composite_in_another_spelling(new_database: NewDatabase) -> None:
    """Filled in by a URI in other case, which its component does not take."""
    attr = "{{:db/ident :c/{} :db/valueType :db.type/{} :db/cardinality :db.cardinality/one{}}}"
    source, target = (
        await new_database(
            f"[{attr.format('n', 'long', '')} {attr.format('o', 'uri', '')}]", "[{:db/ident :e/a :c/n 1}]"
        ),
        await new_database(),
    )
    home = [ident("e/a"), ident("c/o"), "o"]
    await (await source.submit([TxData(0, [*home, "http://a/"], [])])).result()  # EDN has no URIs
    await source.transact_edn([f"[{attr.format('no', 'tuple', ' :db/tupleAttrs [:c/n :c/o]')}]"])
    await (await source.submit([TxData(0, [*home, "HTTP://A/"], [])])).result()
    await source.transact_edn(["[[:db/add :e/a :c/n 2]]"])

    await restore(source, target)

    assert (await verify(source, against=target)).problems == []
    filled = await datoms(source, FIRST_T + 4)
    assert [raw for *_, kind, raw, _ in filled if kind == "t"] == [(("l", 1), ("o", "HTTP://A/"))]


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_composite_that_has_a_decimal_in_its_old_spelling(new_database: NewDatabase) -> None:
    """Until another component changes: then too nothing is said of the decimal."""
    attr = "{{:db/ident :c/{} :db/valueType :db.type/{} :db/cardinality :db.cardinality/one{}}}"
    await check(
        new_database,
        f"[{attr.format('x', 'bigdec', '')} {attr.format('y', 'long', '')} {attr.format('z', 'long', '')}"
        f" {attr.format('xy', 'tuple', ' :db/tupleAttrs [:c/x :c/y]')}]",
        "[{:db/ident :e/a :c/x 1.0M :c/y 1}]",
        "[[:db/add :e/a :c/x 1.00M]]",
        f"[{attr.format('xz', 'tuple', ' :db/tupleAttrs [:c/x :c/z]')}]",
        "[[:db/add :e/a :c/y 2]]",
    )


async def test_decimal_retracted_in_another_spelling(new_database: NewDatabase) -> None:
    """It stays, but composites lose it."""
    source, target = (
        await new_database(
            "[{:db/ident :c/x :db/valueType :db.type/bigdec :db/cardinality :db.cardinality/one}"
            " {:db/ident :c/y :db/valueType :db.type/long :db/cardinality :db.cardinality/one}"
            " {:db/ident :c/xy :db/valueType :db.type/tuple :db/tupleAttrs [:c/x :c/y]"
            " :db/cardinality :db.cardinality/one}]",
            "[{:db/ident :e/a :c/x 1.0M :c/y 1} {:db/ident :e/b :c/x -1E+3M}]",
            "[[:db/add :e/a :c/x 1.00M]]",
            "[[:db/retract :e/a :c/x 1.0M]]",
            "[[:db/add :e/a :c/y 2]]",
            "[[:db/retract :e/a :c/x 1.00M]]",
            "[[:db/retract :e/b :c/x -1000M]]",
        ),
        await new_database(),
    )
    await restore(source, target)

    assert (await verify(source, against=target)).problems == []
    lost = [
        [(k, added) for *_, k, _, added in await datoms(source, FIRST_T + t) if k in "mt"] for t in (3, 6)
    ]
    assert lost == [[("t", True), ("t", False)], [("t", False)]]


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_alteration_that_changed_nothing(new_database: NewDatabase) -> None:
    """A retraction of what an attribute does not have leaves `:db.alter/attribute` alone in the log."""
    nothing = [
        "[[:db/retract :p/name :db/unique :db.unique/value]]",
        "[[:db/retract :p/code :db/unique :db.unique/value]]",
        "[[:db/retract :p/name :db/noHistory true]]",
        '[[:db/retract :p/friend :db/isComponent true] [:db/add :p/friend :db/doc "x"]]',
        "[[:db/retract :p/name :db/cardinality :db.cardinality/many] [:db/add :p/name :db/ident :p/called]]",
        "[[:db/retract :p/boss :db.attr/preds a/b] [:db/add :p/code :db/unique :db.unique/value]]",
        "[[:db/retract :p/code :db/unique :db.unique/identity]]",
        "[[:db/retract :db/doc :db/unique :db.unique/identity]]",
    ]
    source = await check(new_database, SCHEMA, *nothing)
    log = [await datoms(source, t) for t in await _all_t(source)]
    alter = (await source.query("[:find ?e :where [?e :db/ident :db.alter/attribute]]"))[0][0]
    altered = [sum(d[1] == alter for d in transaction) for transaction in log[-len(nothing) :]]
    assert altered == [1, 1, 1, 1, 1, 2, 1, 1]


def double(number: float) -> int:
    """A double as its raw form."""
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


async def _all_t(database: Database) -> list[int]:
    _, chunk = await database.read_log(0, await database.basis_t() + 1, size=1_000_000)
    return [tx & INDEX_MASK for tx in chunk.txs()]


async def test_one_transaction_of_20_000_datoms(new_database: NewDatabase) -> None:
    people = " ".join(f'{{:p/name "{i}" :p/email "{i}@x" :p/code {i} :p/tags [:x :y]}}' for i in range(4_000))
    source = await check(new_database, SCHEMA, f"[{people}]", "[[:db/retractEntity [:p/code 7]]]")
    assert len(await datoms(source, FIRST_T + 1)) == 20_001


async def test_in_flight_behind_a_transaction_that_is_sent_again(new_database: NewDatabase) -> None:
    """What is in flight behind it fails for want of an attribute made just before, and is sent as it was."""
    source, target = (
        await new_database(
            SCHEMA,
            f'[[:db/add "a" :p/boss {NEVER}]]',
            "[{:db/ident :p/more :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]",
            "[{:p/more 1}]",
            "[{:p/more 2}]",
        ),
        await new_database(),
    )
    with patch.object(stages, "BATCH_TRANSACTIONS", 1):
        await restore(source, target)
    assert (await verify(source, against=target)).problems == []
