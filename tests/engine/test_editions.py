"""Between Datomic Local and Datomic Pro: what both can hold is identical; the rest is refused."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import TransactionRejected
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.commit import TxData
from asyncrestore.model.log import INDEX_BITS, t_to_tx, tx_to_t
from asyncrestore.model.positions import ident
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, PRO
from tests.support.altered import AlteredDatabase
from tests.support.comparison import check_copy

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

NAMES = """[{:db/ident :e/a}
            {:db/ident :p/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
            {:db/ident :p/home :db/valueType :db.type/uri :db/cardinality :db.cardinality/one}
            {:db/ident :p/tag :db/valueType :db.type/string :db/cardinality :db.cardinality/many}]"""


@pytest.mark.parametrize(("here", "there"), [(LOCAL, PEER), (PEER, LOCAL)])
async def test_odd_history_goes_there_and_back(new_database: NewDatabase, here: str, there: str) -> None:
    source, middle, back = (
        await new_database(*ODD, of=here),
        await new_database(of=there),
        await new_database(of=here),
    )
    store = MemoryStore()
    await backup(source, store, segment_size=7)

    await restore(store, middle)
    await restore(middle, back)

    assert (await verify(source, against=middle)).problems == []
    assert (await verify(store, against=middle)).problems == []
    assert (await verify(middle, against=back)).problems == []
    assert await _values(back) == await _values(source)


async def _values(database: BridgeDatabase) -> list[list[tuple[str, object]]]:
    """The values of each transaction, without references and bookkeeping: the same in every copy."""
    _, log = await database.read_log(0, await database.basis_t() + 1, size=1_000_000)
    own = {"asyncrestore/original-id", "asyncrestore/successor"}
    idents = {
        e: str(raw)
        for _, (e, _, kind, raw, added) in (await database.schema_history()).rows()
        if kind == "k" and added
    }
    return [
        sorted(
            (kind, raw)
            for _, a, kind, raw, _ in transaction.datoms
            if kind not in "rt" and idents[a] not in own
        )
        for transaction in itertools.islice(reversed(list(log.transactions())), len(ODD))
    ]


@pytest.mark.parametrize("here", [LOCAL, PEER])
async def test_retraction_beside_a_change_is_noted_once_on_disk(
    new_database: NewDatabase, connector: Connector, tmp_path: Path, here: str
) -> None:
    """By a durable database of Local; by one in memory and by Pro twice. That is no difference."""
    source, store = await new_database(NAMES, of=here), MemoryStore()
    new, name, home, tag = ident("e/a"), ident("p/name"), ident("p/home"), ident("p/tag")
    changes = [
        TxData(0, [new, name, "s", "a", new, home, "o", "http://a", new, tag, "s", "x"], []),
        TxData(0, [new, name, "s", "b"], [new, name, "s", "a"]),
        TxData(0, [new, home, "o", "http://b"], [new, home, "o", "HTTP://A"]),
        TxData(0, [new, tag, "s", "z"], [new, tag, "s", "x"]),
    ]
    assert (await (await source.submit(changes)).result()).anomaly is None  # EDN has no URIs
    await backup(source, store)
    target = await connector.open(f"datomic:local://staging/shop?storage-dir={tmp_path}", create=True)
    again = await new_database(of=here)

    await restore(store, target)
    await restore(target, again)

    for origin, copy in ((source, target), (store, target), (target, again)):
        assert (await verify(origin, against=copy)).problems == []
    await check_copy(source, target, again)
    assert [await _retractions(database, 3) for database in (source, target)] == [[2, 2, 1], [1, 1, 1]]

    def without(kind: str) -> AlteredDatabase:
        return AlteredDatabase(target, lambda rows: [r for r in rows if r[1][4] or r[1][2] != kind])

    # One of the two must be there, and every one of several values.
    assert [(await verify(source, against=without(kind))).problem_count for kind in "so"] == [3, 2]


async def _retractions(database: BridgeDatabase, newest: int) -> list[int]:
    """How many retractions each of the newest transactions has."""
    _, log = await database.read_log(0, await database.basis_t() + 1, size=1_000_000)
    return [each.added.count("-") for each in list(log.transactions())[-newest:]]


async def test_what_only_pro_has_goes_through_a_store(new_database: NewDatabase) -> None:
    """Bytes, long strings, functions, indexes, full text, partitions, an entity that becomes an attribute."""
    source, target = await new_database(*PRO, of=PEER), await new_database(of=PEER)
    store = MemoryStore()
    await backup(source, store)

    report = await restore(store, target, allow_code=[":pro/make"])

    assert report.transactions == len(PRO)
    assert (await verify(store, against=target)).problems == []
    assert (await verify(source, against=target)).problems == []
    bytes_ = await target.query('[:find ?blob :where [?e :pro/name "bytes"] [?e :pro/blob ?blob]]')
    assert bytes_ == [(b"\x02",)]
    await target.transact_edn(['[[:pro/make "by the function"]]'])
    assert await target.query('[:find ?e :where [?e :pro/name "by the function"]]')


async def test_entities_keep_their_partitions(new_database: NewDatabase) -> None:
    made = next(i for i, transaction in enumerate(PRO) if "install/partition" in transaction) + 1
    source, target = await new_database(*PRO[:made], of=PEER), await new_database(of=PEER)
    await restore(source, target)
    await source.transact_edn(PRO[made:])
    await restore(source, target, allow_code=[":pro/make"])

    async def partitions(database: BridgeDatabase) -> dict[str, int]:
        found = await database.query("[:find ?name ?e :where [?e :pro/name ?name]]")
        return {name: entity >> INDEX_BITS for name, entity in found}

    [[partition]] = await target.query("[:find ?e :where [?e :db/ident :my/part]]")
    there, here = await partitions(source), await partitions(target)
    assert here["implicit"] == there["implicit"] == (1 << 19) + 7
    assert here["bytes"] == there["bytes"] == 4
    assert here["named"] == partition


@pytest.mark.parametrize("choice", [{}, {"exclude": ["x/gone"], "exclude_schema": True}], ids=["all", "less"])
async def test_stand_in_is_not_among_the_attributes(
    new_database: NewDatabase, choice: dict[str, Any]
) -> None:
    """There Pro would give its id to the next attribute: of what never was, and of an attribute left out."""
    made = "[{{:db/ident :x/{} :db/valueType :db.type/long :db/cardinality :db.cardinality/one}}]"
    first = made.format("gone") if choice else '[[:db/add [:pro/name "bytes"] :pro/friend 100000]]'
    source = await new_database(*PRO[:2], first, made.format("later"), of=PEER)
    target = await new_database(of=PEER)

    await restore(source, target, **choice)

    assert (await verify(source, against=target, **choice)).problems == []


@pytest.mark.parametrize("there", [LOCAL, PEER])
async def test_id_among_transactions_that_none_of_them_has(new_database: NewDatabase, there: str) -> None:
    """Pro's t are sparse, and it takes an entity id in between; no transaction is to come there."""
    source, target = await new_database(NAME, NAMED, of=PEER), await new_database(of=there)
    skipped = t_to_tx(await source.basis_t() + 1)
    ((made, _), *_) = await source.transact_edn([f'[[:db/add {skipped} :x/name "between"]]', NAMED])
    assert made > skipped

    await restore(source, target)

    assert (await verify(source, against=target)).problems == []


NAME = """[{:db/ident :x/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]"""
NAMED = '[{:db/id "x" :x/name "x"}]'


@pytest.mark.parametrize(
    ("here", "there", "transaction", "says", "help_", "past"),
    [
        (
            PEER, LOCAL, f"""[{{:db/id "long" :x/name "{"x" * 5000}"}}]""",
            r"Item too large\. Entity \d+ has a string of 5000 characters in :x/name",
            "`rewrite=:x/name=HOW`",
            {"rewrite": {"x/name": "hash"}, "rewrite_key": b"0123456789abcdef"},
        ),
        (
            LOCAL, PEER, "[{:db/id :x/name :db/unique :db.unique/value}]",
            r"makes :x/name, which has values already, unique only if it is indexed", "`exclude=:x/name`",
            {"exclude": [":x/name"]},
        ),
    ],
    ids=["string", "uniqueness"],
)  # fmt: skip
async def test_what_the_other_edition_cannot_hold_is_refused(
    new_database: NewDatabase,
    here: str,
    there: str,
    transaction: str,
    says: str,
    help_: str,
    past: dict[str, Any],
) -> None:
    """And the option that the error names gets past it."""
    source, target = await new_database(NAME, NAMED, of=here), await new_database(of=there)
    held_until = await source.basis_t()
    await source.transact_edn([transaction, NAMED.replace('"x"}', '"y"}')])
    refused = next(t for t in await _ts(source) if t > held_until)

    with pytest.raises(TransactionRejected, match=says) as caught:
        await restore(source, target, allow_code="all")

    assert (caught.value.exit_code, caught.value.t) == (15, refused)
    assert help_ in caught.value.hint

    target = await new_database(of=there)
    await restore(source, target, **past)
    assert (await verify(source, against=target, **past)).problems == []


async def test_attribute_made_of_an_older_entity_is_refused_by_name(new_database: NewDatabase) -> None:
    """Local has that entity among others than attributes; the option that the error names gets past it."""
    late = "[{:db/id #db/id[:db.part/db] :db/ident :x/late}]"
    made = "[{:db/id :x/late :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]"
    source, target = await new_database(NAME, late, made, of=PEER), await new_database(of=LOCAL)

    with pytest.raises(TransactionRejected, match="an entity that was there before the attribute") as caught:
        await restore(source, target)

    assert "`exclude=:x/late` `exclude_schema`" in caught.value.hint
    target, exclude = await new_database(of=LOCAL), [":x/late"]
    await restore(source, target, exclude=exclude, exclude_schema=True)
    assert (await verify(source, against=target, exclude=exclude, exclude_schema=True)).problems == []


async def test_an_identity_that_pro_does_not_make_has_no_option_that_fails(new_database: NewDatabase) -> None:
    source, target = await new_database(NAME, NAMED), await new_database(of=PEER)
    held_until = await source.basis_t()
    await source.transact_edn(["[{:db/id :x/name :db/unique :db.unique/identity}]"])

    with pytest.raises(TransactionRejected, match="unique only if it is indexed") as caught:
        await restore(source, target)

    assert "`exclude" not in caught.value.hint
    assert "`until_t`" in caught.value.hint
    copy = await new_database(of=PEER)
    await restore(source, copy, until_t=held_until)
    assert (await verify(source, against=copy, until_t=held_until)).problems == []


async def test_what_is_refused_can_be_left_out(new_database: NewDatabase) -> None:
    """The options that the refusals name get past them, and the rest is identical."""
    source, target = await new_database(*PRO, of=PEER), await new_database(of=LOCAL)
    exclude = ["db/index", "db/fn", "pro/blob", "pro/blobs", "pro/text", "pro/later"]

    await restore(source, target, exclude=exclude, exclude_schema=True)

    assert (await verify(source, against=target, exclude=exclude, exclude_schema=True)).problems == []
    found = await target.query("[:find ?name :where [_ :pro/name ?name]]")
    assert {name for (name,) in found} == {"bytes", "long", "named", "implicit", "default", "made"}


async def _ts(database: BridgeDatabase) -> list[int]:
    _, log = await database.read_log(0, await database.basis_t() + 1, size=1_000_000)
    return [tx_to_t(tx) for tx in log.txs()]
