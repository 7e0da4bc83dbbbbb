"""What a target cannot hold is refused by t and name, with what gets past it; all before it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.errors import TransactionRejected
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import t_to_tx
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.histories import PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase

if TYPE_CHECKING:
    from asyncrestore.model.log import LogChunk
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio


async def test_string_over_the_targets_limit(new_database: NewDatabase) -> None:
    source, target, store = await new_database(SCHEMA, *PEOPLE), await new_database(), MemoryStore()

    def lengthen(rows: list[Row]) -> list[Row]:
        # Pro takes longer strings than Local: a backup of it is made here from Local's log.
        return [
            (tx, (e, a, kind, "x" * 5000 if raw == "Anne" else raw, added))
            for tx, (e, a, kind, raw, added) in rows
        ]

    await backup(AlteredDatabase(source, lengthen), store, name="db")

    with pytest.raises(
        TransactionRejected, match=r"string of 5000 characters in :p/name.*at most 4096"
    ) as caught:
        await restore(store, target)

    assert caught.value.t == 8
    _, chunk = await target.read_log(await target.basis_t(), await target.basis_t() + 1, size=1)
    assert t_to_tx(7) in chunk.numbers, "the target stays at the transaction before"


async def test_transaction_over_the_targets_limit(new_database: NewDatabase) -> None:
    """With the original ids of its entities it has 100,001 datoms."""
    many = " ".join(f'[:db/add "{i}" :p/name "x"]' for i in range(49_999))
    source, target = await new_database(SCHEMA, f"[{many}]"), await new_database()

    with pytest.raises(
        TransactionRejected, match=r"50000 datoms of 50000 entities.*at most 100000"
    ) as caught:
        await restore(source, target)

    assert caught.value.t == 7
    assert "`exclude" in caught.value.hint


async def test_attribute_predicate_whose_code_the_target_lacks(new_database: NewDatabase) -> None:
    source, target = await new_database(SCHEMA, '[{:db/id "a" :p/name "Ann"}]'), await new_database()

    await source.transact_edn(
        [
            "[{:db/id :p/city :db.attr/preds clojure.core/string?}]",
            '[{:db/id "x" :p/city "Rome"}]',
            '[{:db/id :p/tags :db.attr/preds app.rules/tag? :db/doc "labels"}]',
            "[{:db/id :p/tags :db.attr/preds app.rules/other? :db/noHistory true}]",
        ]
    )
    store = MemoryStore()

    def lacking(rows: list[Any]) -> list[Any]:
        # A predicate that the source can call and the target cannot: in one JVM only its name can differ.
        return [
            (tx, (e, a, kind, "app.rules/city?" if raw == "clojure.core/string?" else raw, added))
            for tx, (e, a, kind, raw, added) in rows
        ]

    await backup(AlteredDatabase(source, lacking, schema_too=True), store, name="db", segment_size=3)
    with pytest.raises(
        TransactionRejected, match=r"t 9:.*app\.rules/city\?.*:p/city, such as that of entity \d+"
    ) as caught:
        await restore(store, target, allow_code="all")
    with pytest.raises(TransactionRejected, match=":p/city"):
        # Also where the predicate is known from a segment's snapshot only.
        await restore(store, target, allow_code="all")
    assert caught.value.t == 9
    assert "`exclude=:db.attr/preds`" in caught.value.hint
    assert "Everything before t 9 is restored" in caught.value.hint

    for attribute in ("db.attr/preds", "p/city"):
        other = await new_database()
        await restore(store, other, exclude=[attribute], allow_code="all")
        assert (await verify(store, against=other, exclude=[attribute])).problems == []


class LaterBase(DatabaseWrapper):
    """A source whose base schema has an attribute more: docs, under a name that no target knows."""

    async def schema_history(self) -> LogChunk:
        chunk = await self.inner.schema_history()
        chunk.texts = ["db/docs" if text == "db/doc" else text for text in chunk.texts]
        return chunk


async def test_target_with_an_older_base_schema(new_database: NewDatabase) -> None:
    source = LaterBase(await new_database(SCHEMA, '[{:db/id :p/name :db/doc "names"}]'))
    target = await new_database()

    with pytest.raises(
        TransactionRejected, match="needs :db/docs, which the target's base schema lacks"
    ) as caught:
        await restore(source, target)

    assert caught.value.t == 7
    assert "`exclude=p/name` `exclude_schema`" in caught.value.hint
    _, newest = await target.read_log(await target.basis_t(), await target.basis_t() + 1, size=1)
    assert t_to_tx(6) in newest.numbers, "the target stays at the transaction before"
    options: dict[str, Any] = {"exclude": ["p/name"], "exclude_schema": True}
    assert (await restore(source, other := await new_database(), **options)).transactions == 2
    assert (await verify(source, against=other, **options)).problems == []
