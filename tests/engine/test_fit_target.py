"""What one edition has and the other does without is left out on request; what would be lost is refused."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import Conflict, SegmentDamaged, TransactionRejected, UsageError
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, PRO
from tests.support.comparison import check_copy
from tests.support.damage import NAME, last_flipped, load, store_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.jobs.restore import RestoreReport
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

OLD_PRO = (
    """[{:db/id #db/id[:db.part/db] :db/ident :o/name :db/valueType :db.type/string :db/index true
         :db/cardinality :db.cardinality/one :db/unique :db.unique/identity
         :db.install/_attribute :db.part/db}
        {:db/ident :o/text :db/valueType :db.type/string :db/cardinality :db.cardinality/many :db/index true
         :db/fulltext true}
        {:db/ident :o/secret :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true
         :db/noHistory true}
        {:db/ident :o/friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many
         :db/index true}]""",
    '[{:db/id "a" :o/name "a" :o/text ["x" "y"] :o/secret 1} {:db/id "b" :o/name "b" :o/friend ["a"]}]',
    "[[:db/add :o/secret :db/index false]]",
    '[[:db/add :o/secret :db/index true] [:db/add :o/friend :db/doc "friends"]]',
    "[[:db/add :o/friend :db/index false] [:db/add :o/friend :db/isComponent true]]",
    "[[:db/retract :o/text :db/index true]]",
)
LATER = (
    '[{:o/name "a" :o/text ["z"] :o/secret 2}]',
    "[{:db/ident :o/later :db/valueType :db.type/uuid :db/cardinality :db.cardinality/one :db/index true}]",
)
FUNCTIONS = (
    """[{:db/ident :o/made :db/fn #db/fn {:lang "clojure" :params [db] :code []}}]""",
    '[{:db/id "f" :db/ident :o/old :db/lang :db.lang/clojure :db/code "(fn [db] [])"}'
    ' [:db/add :db.part/db :db.install/function "f"]]',
)
NAME_ALONE = "[{:db/ident :o/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]"
BYTES = "[{:db/ident :o/blob :db/valueType :db.type/bytes :db/cardinality :db.cardinality/one}]"


def counts(report: RestoreReport) -> dict[str, int]:
    return {each.attribute: each.left_out for each in report.filtered if each.left_out}


@pytest.mark.parametrize("live", [True, False], ids=["live", "store"])
async def test_older_pro_database_goes_into_local(new_database: NewDatabase, live: bool) -> None:
    source, target = await new_database(*OLD_PRO, of=PEER), await new_database()
    store = MemoryStore()
    await backup(source, store, segment_size=12)
    origin = source if live else store

    with pytest.raises(
        UsageError, match=r"uses: :db/index \(4 entities\), which it does without\. "
    ) as caught:
        await restore(origin, target)
    assert "`fit_target`" in caught.value.hint
    assert await target.basis_t() == await (await new_database()).basis_t()

    report = await restore(origin, target, fit_target=True)
    assert report.transactions == len(OLD_PRO)
    # Of those that changed nothing else, Datomic's note of the alteration too.
    assert counts(report) == {"db/index": 4 + 3 + 3 + 2 + 2}

    await source.transact_edn(LATER)
    await backup(source, store, segment_size=12)
    with pytest.raises(Conflict, match=r":db/index fit target.*now it is nothing left out") as refused:
        await restore(origin, target)
    assert "`fit_target`" in refused.value.hint
    with pytest.raises(Conflict, match="now it is nothing left out"):
        await verify(origin, against=target)

    report = await restore(origin, target, fit_target=True)
    assert (report.transactions, counts(report)) == (len(LATER), {"db/index": 1})
    for each in (source, store):
        verified = await verify(each, against=target, fit_target=True)
        assert (verified.problems, verified.ahead) == ([], 0)
    assert await target.query("[:find ?a :where [?a :db/noHistory true] [?a :db/ident :o/secret]]")
    assert await target.query("[:find ?a :where [?a :db/fulltext true] [?a :db/ident :o/text]]")


@pytest.mark.parametrize("live", [True, False], ids=["live", "store"])
@pytest.mark.parametrize(
    ("transactions", "says", "past"),
    [
        ([BYTES], r"uses: :db\.type/bytes \(:o/blob\), which it cannot hold",
         {"exclude": ["o/blob"], "exclude_schema": True}),
        (FUNCTIONS, r"uses: :o/made \(:db/fn, t \d+\), :o/old \(:db/code, t \d+\), which it cannot hold",
         {"exclude": ["db/code", "db/fn"]}),
        (["[{:db/ident :o/fn :db/valueType :db.type/fn :db/cardinality :db.cardinality/one}]",
          """[{:o/name "f" :o/fn #db/fn {:lang "clojure" :params [db] :code []}}]"""],
         r"uses: \d+ \(:o/fn, t \d+\), which it cannot hold", {"exclude": ["o/fn"]}),
    ],
    ids=["bytes", "functions", "function of one's own attribute"],
)  # fmt: skip
async def test_what_would_be_lost_is_refused_before_anything_is_written(
    new_database: NewDatabase, live: bool, transactions: Sequence[str], says: str, past: dict[str, Any]
) -> None:
    """And the options that the error names get past it, or an end before it."""
    source, target = await new_database(*OLD_PRO, of=PEER), await new_database()
    held_until, empty_t = await source.basis_t(), await target.basis_t()
    await source.transact_edn(transactions)
    origin: BridgeDatabase | MemoryStore = source
    if not live:
        origin = MemoryStore()
        await backup(source, origin, segment_size=12)

    with pytest.raises(UsageError, match=says) as caught:
        await restore(origin, target, fit_target=True, allow_code="all")
    with pytest.raises(UsageError, match=r"without; ") as both:
        await restore(origin, target, allow_code="all")

    assert await target.basis_t() == empty_t
    assert caught.value.exit_code == 2
    assert "`fit_target`" not in caught.value.hint
    assert "`fit_target`" in both.value.hint
    for option in [f"exclude={name}" for name in past["exclude"]] + ["exclude_schema"][: len(past) - 1]:
        assert f"`{option}`" in caught.value.hint
    until = await new_database()
    await restore(origin, until, fit_target=True, until_t=held_until)
    assert (await verify(origin, against=until, fit_target=True, until_t=held_until)).problems == []
    with pytest.raises(UsageError, match=says):
        await restore(origin, until, fit_target=True, allow_code="all")
    await restore(origin, target, fit_target=True, **past)
    assert (await verify(source, against=target, fit_target=True, **past)).problems == []


@pytest.mark.parametrize(
    ("value", "says", "past"),
    [
        (f':o/text "{"x" * 4097}"', "a string of 4097 characters in :o/text", {"exclude": ["o/text"]}),
        (f':o/text "{"x" * 9500}"', "a string of 9500 characters in :o/text",
         {"rewrite": {"o/text": "hash"}, "rewrite_key": b"0123456789abcdef"}),
        # Twice as long for the JVM.
        (f':o/text "{chr(0x1F600) * 2049}"', "a string of 4098 characters in :o/text",
         {"exclude": ["o/text"]}),
        (f':db/doc "{"x" * 4097}"', "a string of 4097 characters in :db/doc", {"exclude": ["db/doc"]}),
    ],
    ids=["4097", "9500", "astral", "doc"],
)  # fmt: skip
async def test_long_string_stops_at_its_transaction(
    new_database: NewDatabase, value: str, says: str, past: dict[str, Any]
) -> None:
    source, target = await new_database(*OLD_PRO, of=PEER), await new_database()
    held_until = await source.basis_t()
    await source.transact_edn([f'[{{:o/name "a" {value}}}]', *LATER])

    with pytest.raises(TransactionRejected, match=says) as caught:
        await restore(source, target, fit_target=True)

    option = f"`exclude=:{past['exclude'][0]}`" if "exclude" in past else "`rewrite=:o/text=HOW`"
    assert option in caught.value.hint
    assert ("rewrite" in caught.value.hint) == (":db/doc" not in value)
    assert (await verify(source, against=target, fit_target=True, until_t=held_until)).problems == []
    other = await new_database()
    await restore(source, other, fit_target=True, **past)
    assert (await verify(source, against=other, fit_target=True, **past)).problems == []


async def test_copy_that_was_begun_without_it_goes_on_with_it(new_database: NewDatabase) -> None:
    """What it lacks was refused until then, so nothing of it is missing in what it has."""
    source, target = await new_database(NAME_ALONE, of=PEER), await new_database()
    await restore(source, target)
    await source.transact_edn(LATER[1:])

    with pytest.raises(UsageError, match=r":db/index \(1 entity\), which it does without"):
        await restore(source, target)
    report = await restore(source, target, fit_target=True)

    assert counts(report) == {"db/index": 1}
    assert (await verify(source, against=target, fit_target=True)).problems == []
    assert (await verify(source, against=target)).problem_count == 1


async def test_it_goes_with_the_other_options(new_database: NewDatabase) -> None:
    """What only Pro has, as far as Local can hold it: left out, rewritten, ended early, continued."""
    source, target = await new_database(*PRO, of=PEER), await new_database()
    middle = await source.basis_t()
    await source.transact_edn(['[{:pro/name "more" :pro/text "t"}]'])
    choice: dict[str, Any] = {
        "fit_target": True,
        "exclude": ["db/fn", "pro/blob", "pro/blobs", "pro/later"],
        "exclude_schema": True,
        "rewrite": {"pro/text": "hash", "pro/name": "hash"},
        "rewrite_key": b"0123456789abcdef",
    }

    await restore(source, target, **choice, until_t=middle)
    report = await restore(source, target, **choice)

    assert report.transactions == 1
    assert (await verify(source, against=target, **choice)).problems == []
    back = await new_database(of=PEER)
    await restore(target, back, fit_target=True)
    assert (await verify(target, against=back)).problems == []


@pytest.mark.parametrize(("here", "there"), [(LOCAL, PEER), (PEER, PEER), (LOCAL, LOCAL)])
async def test_nothing_is_left_out_where_nothing_is_lacking(
    new_database: NewDatabase, here: str, there: str
) -> None:
    """Then it is the same as without the option, also for what comes later."""
    transactions = OLD_PRO if (here, there) == (PEER, PEER) else ODD
    source, target = await new_database(*transactions, of=here), await new_database(of=there)

    report = await restore(source, target, fit_target=True)
    await source.transact_edn(["[]"])
    await restore(source, target)

    assert report.filtered == []
    assert (await verify(source, against=target)).problems == []
    assert (await verify(source, against=target, fit_target=True)).problems == []
    await check_copy(source, target)


@pytest.mark.parametrize(
    ("here", "there", "attribute", "said"),
    [
        (LOCAL, PEER, "db/txUUID", '"datomic.tx" :db/txUUID #uuid "7d0162a9-2636-46f2-b0e8-a9336075eee2"'),
        (PEER, LOCAL, "db.sys/reId", '"x" :db.sys/reId :db/doc'),
    ],
)
async def test_other_attributes_are_not_left_out_unasked(
    new_database: NewDatabase, here: str, there: str, attribute: str, said: str
) -> None:
    """The target lacks them, and what they mean is not known to be of no use there."""
    source, target = await new_database(f"[[:db/add {said}]]", of=here), await new_database(of=there)

    with pytest.raises(TransactionRejected, match=f"needs :{attribute}") as caught:
        await restore(source, target, fit_target=True)

    assert f"`exclude=:{attribute}`" in caught.value.hint
    target = await new_database(of=there)
    options: dict[str, Any] = {"fit_target": True, "exclude": [attribute]}
    await restore(source, target, **options)
    assert (await verify(source, against=target, **options)).problems == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_alterations_beside_indexes(new_database: NewDatabase, seed: int) -> None:
    """What is altered together with an index, before and after it, is the same without the index."""
    draw = random.Random(seed)  # noqa: S311
    source, target = await new_database(OLD_PRO[0], of=PEER), await new_database()
    alterations = [
        "[:db/add {} :db/index true]", "[:db/add {} :db/index false]", "[:db/retract {} :db/index true]",
        "[:db/add {} :db/noHistory true]", "[:db/retract {} :db/noHistory true]", '[:db/add {} :db/doc "{}"]',
        "[:db/add {} :db/cardinality :db.cardinality/many]", "[:db/add {} :db/index true]",
    ]  # fmt: skip
    for _ in range(40):
        chosen = draw.sample([":o/text", ":o/secret", ":o/friend"], draw.randint(1, 2))
        said = {
            each.split()[2]: each.format(attribute, draw.random())
            for attribute in chosen
            for each in draw.sample(alterations, draw.randint(1, 3))
        }
        await source.transact_edn([f"[{' '.join(said.values())}]"])

    report = await restore(source, target, fit_target=True, in_flight=draw.choice([1, 8]))

    assert report.transactions == 41
    assert counts(report)["db/index"] > 20
    assert (await verify(source, against=target, fit_target=True)).problems == []


async def test_damage_later_keeps_nothing_from_being_restored(new_database: NewDatabase) -> None:
    """All before it is, up to a transaction that the target refuses: what comes there is not known."""
    source, target, other = await new_database(*OLD_PRO, of=PEER), await new_database(), await new_database()
    held_until = await source.basis_t()
    await source.transact_edn([BYTES, *["[]"] * 30])
    written = MemoryStore()
    await backup(source, written, name=NAME, segment_size=12)
    objects = await load(written)
    last_flipped(objects, objects)
    store = await store_of(objects)

    with pytest.raises(TransactionRejected, match=r"needs :db\.type/bytes") as caught:
        await restore(store, target, fit_target=True)
    with pytest.raises(SegmentDamaged):
        await restore(store, other, fit_target=True, exclude=["db/index"])

    assert "`exclude=o/blob` `exclude_schema`" in caught.value.hint
    options: dict[str, Any] = {"fit_target": True, "until_t": held_until}
    assert (await verify(source, against=target, **options)).problems == []
