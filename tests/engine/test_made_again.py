"""A durable database that is deleted and made again is another one, however alike the histories look."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import Conflict, Overtaken
from asyncrestore.history.bootstrap import beginning_until
from asyncrestore.history.live import LiveHistory
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import t_to_tx
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.histories import SCHEMA
from tests.support.comparison import check_copy, own_ts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

ATTRIBUTE = (
    '[{:db/id "datomic.tx" :db/txInstant #inst "2024-03-01"}'
    " {:db/ident :p/later :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]"
)
"""A transaction that gives no entity an id that another database of the same making would not give it."""

SCRIPT = (
    SCHEMA.replace("[", '[{:db/id "datomic.tx" :db/txInstant #inst "2024-01-01"}', 1),
    *[
        f'[{{:db/id "datomic.tx" :db/txInstant #inst "2024-02-{day}"}} {{:db/id "new" :p/name "Ann"{email}}}]'
        for day in range(10, 25)
        for email in [f' :p/email "{day}@x"' if day % 5 == 0 else ""]
    ],
    *['[{:db/id "datomic.tx" :db/txInstant #inst "2024-02-28"}]'] * 5,
    ATTRIBUTE,
)
"""Fifteen draws of ids; the newest transactions show none of them."""

WITHOUT: dict[str, Any] = {"exclude": ["p/name", "p/code"], "exclude_schema": True}
"""A filter that leaves nothing of most entities but their original ids."""

LATEST = "[{:db/ident :p/latest :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]"
CHANGES = tuple(f'[{{:db/id [:p/email "{day}@x"] :p/name "Anne"}}]' for day in (10, 15, 20))


async def durable(connector: Connector, place: Path, *transactions: str) -> BridgeDatabase:
    """A new durable database, of the same name wherever it is."""
    database = await connector.open(f"datomic:local://staging/shop?storage-dir={place}", create=True)
    await database.transact_edn(transactions)
    return database


async def recorded_copy(database: Database) -> str | None:
    beginning = await beginning_until(database, await database.basis_t(), await database.schema_history())
    return beginning.copy


@pytest.mark.parametrize("filters", [({}, {}), ({"exclude": ["p/name"]}, {"exclude": ["p/code"]})])
async def test_copy_that_is_made_again(
    connector: Connector, new_database: NewDatabase, tmp_path: Path, filters: tuple[dict[str, Any], ...]
) -> None:
    source, store, other_store = await new_database(*SCRIPT), MemoryStore(), MemoryStore()
    first = await durable(connector, tmp_path / "first")
    again = await durable(connector, tmp_path / "again")
    await restore(source, first, **filters[0])
    await backup(first, store)
    target = await new_database()
    await restore(store, target)

    await restore(source, again, **filters[1])
    await again.transact_edn(CHANGES)
    with pytest.raises(Conflict, match="is a backup of another database") as caught:
        await backup(again, store)
    assert caught.value.exit_code == 13
    assert "deleted and made or restored again" in caught.value.hint
    assert "`name`" in caught.value.hint
    with pytest.raises(Conflict, match="is a backup of another database"):
        await repair(again, store)
    with pytest.raises(Conflict, match="is a backup of another database"):
        await verify(store, live=again)
    await backup(again, other_store)
    for its_source in (again, other_store):
        with pytest.raises(Conflict, match="was restored from another database"):
            await restore(its_source, target)
    with pytest.raises(Conflict, match="is a backup of another database"):
        await copy(other_store, store)

    # What it was refused for goes on under another name, and the first one as before.
    await backup(again, store, name="again")
    await first.transact_edn(CHANGES)
    assert (await backup(first, store)).transactions == len(CHANGES)
    assert (await restore(store, target, name="shop")).transactions == len(CHANGES)
    assert (await verify(first, against=target)).problems == []


@pytest.mark.parametrize("segment_size", [1, 10_000])
async def test_live_source_that_is_made_again(
    connector: Connector, new_database: NewDatabase, tmp_path: Path, segment_size: int
) -> None:
    """Both have one digest: of the first transaction, with its instant and without the ids of entities."""
    first = await durable(connector, tmp_path / "first", *SCRIPT)
    again = await durable(connector, tmp_path / "again", *SCRIPT)
    assert (await LiveHistory.open(first)).identity == (await LiveHistory.open(again)).identity
    store, other_store, target, filtered = (
        MemoryStore(),
        MemoryStore(),
        await new_database(),
        await new_database(),
    )
    await backup(first, store, segment_size=segment_size)
    await restore(store, target)
    await restore(first, filtered, **WITHOUT)

    await again.transact_edn(CHANGES)
    await backup(again, other_store, segment_size=segment_size)
    with pytest.raises(Conflict, match=r"have diverged: t \d+ differs") as caught:
        await backup(again, store)
    assert "deleted and made again. Back it up under another `name`" in caught.value.hint
    with pytest.raises(Conflict, match="have diverged: most transactions show other ids"):
        await repair(again, store)
    for ours, theirs in ((store, other_store), (other_store, store)):
        with pytest.raises(Conflict, match=r"have diverged: t \d+ differs"):
            await copy(ours, theirs)
    for its_source in (again, other_store):
        with pytest.raises(Conflict, match=r"have diverged: t \d+ has other entities") as caught:
            await restore(its_source, target)
        assert "deleted and made again. Restore into a new database" in caught.value.hint
        with pytest.raises(Conflict, match=r"have diverged: t \d+ has other entities"):
            await restore(its_source, filtered, **WITHOUT)

    await first.transact_edn(CHANGES)
    assert (await backup(first, store)).transactions == len(CHANGES)
    assert (await copy(store, MemoryStore())).ok
    assert (await restore(store, target)).transactions == len(CHANGES)
    assert (await restore(first, filtered, **WITHOUT)).transactions == len(CHANGES)
    assert (await verify(first, against=target)).problems == []


async def test_copies_of_copies_have_identities_of_their_own(
    connector: Connector, new_database: NewDatabase, tmp_path: Path
) -> None:
    source = await new_database(*SCRIPT)
    copies = [await durable(connector, tmp_path / place) for place in ("one", "two", "three")]
    for its_source, each in zip((source, *copies[:-1]), copies, strict=True):
        await restore(its_source, each)

    uuids = [await recorded_copy(each) for each in copies]
    assert len({*uuids, None}) == 1 + len(copies)
    assert [(await LiveHistory.open(each)).identity for each in copies] == [f"shop@{uuid}" for uuid in uuids]
    await check_copy(source, *copies)
    assert (await verify(copies[1], against=copies[2])).problems == []


class Late(DatabaseWrapper):
    """A target that others have found empty, too, when it is first written to."""

    def __init__(self, inner: Database, others: list[anyio.Event], number: int) -> None:
        super().__init__(inner)
        self._others, self._number = others, number

    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        self._others[self._number].set()
        for each in self._others:
            await each.wait()
        return await self.inner.transact_edn(transactions)


async def test_two_restores_that_install_at_once(new_database: NewDatabase) -> None:
    """The UUID is of the one that installed, and stays when the other one is run again."""
    source, target = await new_database(*SCRIPT), await new_database()
    both = [anyio.Event(), anyio.Event()]
    ended: list[str] = []

    async def one(number: int) -> None:
        try:
            await restore(source, Late(target, both, number))
            ended.append("done")
        except Overtaken:
            ended.append("overtaken")

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, 0)
            tasks.start_soon(one, 1)

    assert sorted(ended) == ["done", "overtaken"]
    uuid = await recorded_copy(target)
    await restore(source, target)
    assert await recorded_copy(target) == uuid is not None
    await check_copy(source, target)


def old_bookkeeping(source: str, bootstrap_t: int) -> tuple[str, str]:
    """What the versions without `:asyncrestore/copy` install in a target."""
    attributes = """[
      {:db/id "datomic.tx" :db/txInstant #inst "1970-01-01"}
      {:db/ident :asyncrestore/original-id :db/valueType :db.type/long :db/cardinality :db.cardinality/one
       :db/unique :db.unique/identity}
      {:db/ident :asyncrestore/successor :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
      {:db/ident :asyncrestore/source :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
      {:db/ident :asyncrestore/filter :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
      {:db/ident :asyncrestore/placeholder :db/valueType :db.type/ref :db/cardinality :db.cardinality/many
       :db/isComponent true}
      [:db/cas :db.part/tx :fressian/tag nil :asyncrestore/target]]"""
    name = (
        f'[{{:db/id "datomic.tx" :db/txInstant #inst "1970-01-01" :asyncrestore/source "{source}"'
        f" :asyncrestore/original-id {t_to_tx(bootstrap_t)}}}]"
    )
    return attributes, name


async def test_copies_by_an_older_version(
    connector: Connector, new_database: NewDatabase, tmp_path: Path
) -> None:
    """They are continued, and known by the digest that their backups have; ids tell them apart."""
    source, store, target = await new_database(*SCRIPT), MemoryStore(), await new_database()
    history = await LiveHistory.open(source)
    old = old_bookkeeping(history.identity, history.bootstrap_t)
    first = await durable(connector, tmp_path / "first", *old)
    again = await durable(connector, tmp_path / "again", *old)
    await restore(source, first)
    identity = (await LiveHistory.open(first)).identity
    await backup(first, store)
    await restore(store, target)

    await source.transact_edn([*CHANGES, LATEST])
    assert (await restore(source, first)).transactions == len(CHANGES) + 1
    assert (await verify(source, against=first)).problems == []
    assert (await LiveHistory.open(first)).identity == identity
    assert (await backup(first, store)).transactions == len(CHANGES) + 1
    assert (await restore(store, target)).transactions == len(CHANGES) + 1

    await restore(source, again)
    assert (await LiveHistory.open(again)).identity == identity
    await again.transact_edn(CHANGES)
    with pytest.raises(Conflict, match="have diverged"):
        await backup(again, store)
    with pytest.raises(Conflict, match="have diverged"):
        await restore(again, target)


async def test_installation_that_an_older_version_began(new_database: NewDatabase) -> None:
    source, target = await new_database(*SCRIPT), await new_database(old_bookkeeping("", 0)[0])
    await restore(source, target)
    assert await recorded_copy(target) is None
    assert (await verify(source, against=target)).problems == []


async def test_copy_that_was_put_back_and_continued_again(
    connector: Connector, new_database: NewDatabase, tmp_path: Path
) -> None:
    """It has the same UUID then, and the same instants."""
    source, store, target = await new_database(*SCRIPT), MemoryStore(), await new_database()
    first = await durable(connector, tmp_path / "first")
    await restore(source, first, until_t=(await own_ts(source))[2])
    shutil.copytree(tmp_path / "first", tmp_path / "kept")
    await restore(source, first)
    await backup(first, store)
    await restore(store, target)

    put_back = await durable(connector, tmp_path / "kept")
    await restore(source, put_back)
    assert (await LiveHistory.open(put_back)).identity == (await LiveHistory.open(first)).identity
    await put_back.transact_edn(CHANGES)
    with pytest.raises(Conflict, match="have diverged"):
        await backup(put_back, store)
    with pytest.raises(Conflict, match="have diverged"):
        await restore(put_back, target)


def dated(day: int, data: str) -> str:
    return f'[{{:db/id "datomic.tx" :db/txInstant #inst "2024-05-{day}"}} {data}]'


async def test_a_directory_that_is_put_back_and_gone_on_otherwise(
    connector: Connector, new_database: NewDatabase, tmp_path: Path
) -> None:
    """With the same instants, as an import gives them; the newest transaction is the same, too."""
    first, again = tmp_path / "first", tmp_path / "again"
    async with open_connector() as own:
        await durable(own, first, *SCRIPT)
    shutil.copytree(first, again)
    anne, bob = '{:db/id [:p/email "10@x"] :p/name "Anne"}', '{:db/id [:p/email "15@x"] :p/name "Bob"}'
    source = await durable(connector, first, dated(10, anne), dated(11, bob))
    target, from_store, store = await new_database(), await new_database(), MemoryStore()
    await restore(source, target)
    await restore(source, from_store)

    other = await durable(connector, again, dated(10, anne.replace("Anne", "Anna")), dated(11, bob))
    await other.transact_edn([dated(12, '{:db/id [:p/email "20@x"] :p/name "Eve"}')])
    await backup(other, store)
    before = await target.basis_t()
    for its_source, copy_ in ((other, target), (store, from_store)):
        with pytest.raises(Conflict, match=r"have diverged: t \d+: missing in the target: .* 'Anna'"):
            await restore(its_source, copy_)
    assert await target.basis_t() == before
    await source.transact_edn([dated(12, '{:db/id [:p/email "20@x"] :p/name "Eve"}')])
    assert (await restore(source, target)).transactions == 1
