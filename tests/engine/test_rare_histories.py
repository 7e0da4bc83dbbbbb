"""Histories that no generator draws, each restored without a difference (docs/restore-rules.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import AsyncRestoreError, Conflict
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.commit import TxData
from asyncrestore.model.log import t_to_tx
from asyncrestore.model.positions import ident
from asyncrestore.stores.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from tests.support.databases import NewDatabase


pytestmark = pytest.mark.anyio

NAME = "[{:db/ident :p/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]"
INSTALLED = (
    '[{:db/id "a" :db/ident :p/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one'
    " :db.install/_attribute :db.part/db}]"
)
ALTERED = "[{:db/id :p/name :db/cardinality :db.cardinality/many :db.alter/_attribute :db.part/db}]"
WITH_INSTANT = (
    "[{:db/ident :p/when :db/valueType :db.type/tuple :db/tupleAttrs [:db/txInstant :p/name]"
    " :db/cardinality :db.cardinality/one}]"
)


async def _check(source: BridgeDatabase, target: BridgeDatabase) -> None:
    await restore(source, target)
    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("here", [LOCAL, PEER])
@pytest.mark.parametrize("there", [LOCAL, PEER])
async def test_schema_that_names_its_own_installation(
    new_database: NewDatabase, here: str, there: str
) -> None:
    """As it was written before Datomic did so by itself; transacted again, as at each start of a program."""
    source = await new_database(
        INSTALLED, '[{:p/name "Ann"}]', INSTALLED, ALTERED, '[{:p/name ["Ann" "Bob"]}]', ALTERED, of=here
    )
    await _check(source, await new_database(of=there))


@pytest.mark.parametrize("there", [LOCAL, PEER])
async def test_composite_of_an_instant(new_database: NewDatabase, there: str) -> None:
    """A known limit: the target is given each instant, so the composite is there at once, and always."""
    said = ('[[:db/add "datomic.tx" :p/name "Ann"]]', '[[:db/add "datomic.tx" :p/name "Bob"]]')
    source = await new_database(NAME, *said, WITH_INSTANT, '[[:db/add "datomic.tx" :p/name "Cid"]]')
    end, target = await source.basis_t(), await new_database(of=there)
    later = [(end - 3, "Ann"), (end - 2, "Bob"), (end - 2, "Dan"), (end, "Cid")]
    await source.transact_edn([f'[[:db/add {t_to_tx(t)} :p/name "{name}"]]' for t, name in later])
    await restore(source, target)
    problems = (await verify(source, against=target)).problems
    assert problems
    assert all(":p/when" in problem for problem in problems)


def _as_on_disk(_ident: str, value: float) -> float:
    """Both zeros are 0.0."""
    return value or 0.0


async def test_negative_zero_on_disk(new_database: NewDatabase, connector: Connector, tmp_path: Path) -> None:
    """A known limit: a durable database of Local has no -0.0; the source, in memory, has."""
    source = await new_database(NAME.replace("string", "double"), "[{:p/name -0.0}]", "[{:p/name -1.5}]")
    for rewrite, differing in (None, ["-0.0", "0.0"]), ({"p/name": _as_on_disk}, []):
        uri = f"datomic:local://staging/shop?storage-dir={tmp_path / str(bool(rewrite))}"
        target = await connector.open(uri, create=True)
        await restore(source, target, rewrite=rewrite)
        problems = (await verify(source, against=target, rewrite=rewrite)).problems
        assert [problem.split()[-1] for problem in problems] == differing


async def test_facts_of_a_transaction_still_to_come(new_database: NewDatabase) -> None:
    source = await new_database(NAME.replace("string", "ref"), NAME.replace("p/name", "p/note"))
    coming = t_to_tx(await source.basis_t() + 4)
    await source.transact_edn(
        [
            f'[[:db/add {coming} :p/note "first"]]',
            f'[[:db/add {coming} :p/note "second"] {{:p/note "other" :p/name {coming - 1}}}]',
            f"[{{:p/name {coming}}}]",
            '[[:db/add "datomic.tx" :p/note "third"]]',
            "[]",
        ]
    )
    target = await new_database()
    await _check(source, target)
    await _check(target, await new_database())


async def test_an_entity_of_which_a_filtered_copy_has_nothing_is_in_a_copy_of_that(
    new_database: NewDatabase,
) -> None:
    source, filtered = (
        await new_database(
            NAME,
            NAME.replace("string", "ref").replace("p/name", "p/friend"),
            *(f'[{{:p/name "{number}"}} {{:p/name "{number} too"}}]' for number in range(5)),
        ),
        await new_database(),
    )
    friends = await source.query("[:find ?e :where [?e :p/name]]")
    await source.transact_edn([f"[{{:p/friend {entity}}}]" for (entity,) in friends])
    await restore(source, filtered, exclude=["p/name"])
    await _check(filtered, await new_database())


def _upper(ident: str, value: str) -> str:
    return f"{ident} {value}"


async def test_a_function_is_not_called_with_another_ident_than_before(new_database: NewDatabase) -> None:
    source, target = await new_database(NAME, '[{:p/name "Ann"}]'), await new_database()
    await restore(source, target, rewrite={"p/name": _upper})
    await source.transact_edn(["[{:db/id :p/name :db/ident :p/label}]", '[{:p/label "Bob"}]'])
    with pytest.raises(Conflict, match=r"restored with :p/name .*_upper; now it is :p/label"):
        await restore(source, target, rewrite={"p/label": _upper})


async def test_constant_for_a_value_that_is_retracted_in_two_spellings(new_database: NewDatabase) -> None:
    source = await new_database(NAME.replace("string", "uri"), "[{:db/ident :e/a}]")
    name = [ident("e/a"), ident("p/name"), "o"]
    changes = [
        TxData(0, [*name, "http://a/"], []),
        TxData(0, [*name, "http://b/"], [*name, "HTTP://A/"]),
    ]
    await (await source.submit(changes)).result()  # EDN has no URIs
    target, rewrite = await new_database(), {"p/name": "constant:urn:x"}
    [done] = (await restore(source, target, rewrite=rewrite)).filtered
    assert (done.rewritten, done.left_out) == (1, 3)
    assert (await verify(source, against=target, rewrite=rewrite)).problems == []


async def test_keyword_that_its_text_does_not_give_back_is_refused(new_database: NewDatabase) -> None:
    source = await new_database(
        NAME.replace("string", "keyword"),
        """[{:db/ident :p/make :db/fn #db/fn {:lang :clojure :params [db]
             :code [{:p/name (keyword "http://x/y" "z")}]}}]""",
        "[[:p/make]]",
        of=PEER,
    )
    with pytest.raises(AsyncRestoreError, match="holds a slash"):
        await backup(source, MemoryStore())


async def test_a_filtered_copy_that_is_continued_is_as_one_made_at_once(new_database: NewDatabase) -> None:
    """A composite that is excluded with its schema must not say which component another was filled in by."""
    attribute = "{{:db/ident :p/{} :db/valueType :db.type/{} :db/cardinality :db.cardinality/one{}}}"
    source = await new_database(
        "[" + " ".join(attribute.format(name, "string", "") for name in "wxyz") + " {:db/ident :e/a}]",
        '[{:db/id :e/a :p/x "x" :p/y "y" :p/z "z"}]',
        "["
        + " ".join(
            attribute.format(name, "tuple", f" :db/tupleAttrs [:p/{first} :p/{second}]")
            for name, first, second in (("xw", "x", "w"), ("zx", "z", "x"), ("zy", "z", "y"))
        )
        + "]",
    )
    before = await source.basis_t()
    await source.transact_edn(['[[:db/add :e/a :p/x "x"]]'])
    exclude: dict[str, Any] = {"exclude": ["p/xw"], "exclude_schema": True}
    at_once, continued = await new_database(), await new_database()
    await restore(source, at_once, **exclude)
    await restore(source, continued, until_t=before, **exclude)
    await restore(source, continued, **exclude)
    assert (await verify(source, against=at_once, **exclude)).problems == []
    assert (await verify(source, against=continued, **exclude)).problems == []
