"""Code in a history: nothing of it reaches a target that is not allowed by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import UsageError
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.info import DatabaseInfo, StoreInfo, info
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.support.altered import AlteredDatabase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

PLAIN = """[{:db/ident :u/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
            {:db/ident :u/id :db/valueType :db.type/long :db/cardinality :db.cardinality/one
             :db/unique :db.unique/identity}]"""
VALID = "[[:db/add :u/name :db.attr/preds my.app/valid?]]"
NOT_VALID = "[[:db/retract :u/name :db.attr/preds my.app/valid?]]"
SPEC = "[{:db/ident :my/spec :db.entity/preds [my.app/whole?] :db.entity/attrs [:u/name]}]"
FUNCTIONS = """[{:db/ident :my/f :db/fn #db/fn {:lang :clojure :params [db] :code []}}
                {:db/ident :my/j :db/fn #db/fn {:lang :java :params [db] :code "return null;"}}]"""
ONE, TWO = "[{:u/id 7777}]", "[{:u/id 8888}]"


async def id_of(database: BridgeDatabase, ident: str) -> int:
    [(entity,)] = await database.query(f"[:find ?e :where [?e :db/ident :{ident}]]")
    return int(entity)


def replaced(old: object, *new: tuple[Any, ...]) -> Callable[[list[Row]], list[Row]]:
    """Puts other datoms in the place of each with the value `old`; an entity None is that datom's own."""

    def alter(rows: list[Row]) -> list[Row]:
        return [
            (tx, (e if other is None else other, *rest) if datom[3] == old else datom)
            for tx, datom in rows
            for e in datom[:1]
            for other, *rest in (new if datom[3] == old else [datom])
        ]

    return alter


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_a_program_in_a_value_is_not_run(new_database: NewDatabase, tmp_path: Path) -> None:
    """No source has it, for its own engine would run it; a segment and its digest can be made by anybody."""
    source, target, store = await new_database(PLAIN, VALID, ONE), await new_database(), MemoryStore()
    name, preds = await id_of(source, "u/name"), await id_of(source, "db.attr/preds")
    program, empty_t = f'(do (spit "{tmp_path / "ran"}" "x") true)', await target.basis_t()

    def forged(rows: list[Row]) -> list[Row]:
        called = replaced("my.app/valid?", (None, preds, "y", "clojure.core/load-string", True))
        return replaced(7777, (None, name, "s", program, True))(called(rows))

    await backup(AlteredDatabase(source, forged, schema_too=True), store, name="db")

    for allow_code in ((), ["my.app/valid?"], "all"):
        with pytest.raises(UsageError, match=r"clojure\.core/load-string \(:db\.attr/preds, t ") as caught:
            await restore(store, target, allow_code=allow_code)
        assert "`exclude=db.attr/preds`" in caught.value.hint
        assert "never allowed" in caught.value.hint
    assert await target.basis_t() == empty_t
    assert (await restore(store, target, exclude=["db.attr/preds"])).code == []
    assert not (tmp_path / "ran").exists()


async def test_a_target_is_not_created_for_what_is_refused(new_database: NewDatabase, tmp_path: Path) -> None:
    source = await new_database(PLAIN, VALID)
    with pytest.raises(UsageError, match=r"Nothing was written"):
        await restore(source, f"datomic:local://s/copy?storage-dir={tmp_path}/storage")
    assert not list(tmp_path.glob("**/db.log"))


async def test_all_code_is_named_and_what_is_allowed_is_restored(new_database: NewDatabase) -> None:
    source = await new_database(PLAIN, VALID, SPEC, FUNCTIONS, of=PEER)
    store, target = MemoryStore(), await new_database(of=PEER)
    await backup(source, store, name="db")
    names = ["my.app/valid?", "my.app/whole?", ":my/f", ":my/j"]

    for history in (source, store):
        found = await info(history)
        code = found.backups[0].code if isinstance(found, StoreInfo) else None
        code = found.code if isinstance(found, DatabaseInfo) else code
        assert code is not None
        assert [each.name for each in code] == names
        with pytest.raises(UsageError) as caught:
            await restore(history, target)
        assert all(name in str(caught.value) for name in names)
        assert "`allow_code='my.app/valid?'` `allow_code='my.app/whole?'`" in caught.value.hint
        assert "`exclude=db.attr/preds` `exclude=db.entity/preds` `exclude=db/fn`" in caught.value.hint
        with pytest.raises(UsageError, match=r"not allowed: :my/j \(:db/fn, t \d+\)\. Nothing"):
            await restore(history, target, allow_code=names[:3])
    assert await target.basis_t() == await (await new_database(of=PEER)).basis_t(), "nothing was written"

    report = await restore(store, target, allow_code=names)
    assert [each.name for each in report.code] == names
    assert (await verify(store, against=target)).problems == []
    other, left_out = await new_database(of=PEER), ["db.attr/preds", "db.entity/preds", "db/fn"]
    assert (await restore(store, other, exclude=left_out)).code == []
    assert (await verify(store, against=other, exclude=left_out)).problems == []


@pytest.mark.parametrize("stored", [True, False])
async def test_only_what_is_restored_now_is_asked_for(new_database: NewDatabase, stored: bool) -> None:
    source, target, store = await new_database(PLAIN, VALID, NOT_VALID), await new_database(), MemoryStore()

    async def continued(*, allow_code: str = "", until_t: int | None = None) -> list[str]:
        if stored:
            await backup(source, store, name="db")
        allowed = [allow_code] if allow_code else []
        report = await restore(store if stored else source, target, allow_code=allowed, until_t=until_t)
        return [each.name for each in report.code]

    preds_t = await source.basis_t() - 1
    assert await continued(until_t=preds_t - 1) == []
    with pytest.raises(UsageError, match=rf"valid\? \(:db.attr/preds, t {preds_t}\)"):
        await continued()  # though it was retracted again: it would be called in between
    assert await continued(allow_code="my.app/valid?") == ["my.app/valid?"]
    await source.transact_edn([ONE])
    assert await continued() == []
    before = await target.basis_t()
    await source.transact_edn([TWO, SPEC])
    with pytest.raises(UsageError, match=r"not allowed: my\.app/whole\? "):
        await continued()
    assert await target.basis_t() == before


async def upgraded(source: BridgeDatabase, *more: tuple[Any, ...], symbol: str) -> AlteredDatabase:
    """The source with :db.attr/preds in its own history, as in a base schema that was upgraded, and in use.

    Its index does not have it.
    """
    ident, type_, cardinality = [
        await id_of(source, each) for each in ("db/ident", "db/valueType", "db/cardinality")
    ]
    symbols, many = [await id_of(source, each) for each in ("db.type/symbol", "db.cardinality/many")]
    [(one,)] = await source.query("[:find ?e :where [?e :u/id 7777]]")
    made = replaced(
        7777,
        (None, ident, "k", "db.attr/preds", True),
        (None, type_, "r", symbols, True),
        (None, cardinality, "r", many, True),
        *more,
    )
    used = replaced(8888, (await id_of(source, "u/name"), one, "y", symbol, True))
    return AlteredDatabase(source, lambda rows: used(made(rows)))


async def predicates(target: BridgeDatabase) -> set[str]:
    return {symbol.name for (symbol,) in await target.query("[:find ?s :where [_ :db.attr/preds ?s]]")}


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_code_that_is_not_announced_is_not_sent(new_database: NewDatabase) -> None:
    """A log that has other things than the index tells: it counts what an attribute is in the target."""
    source, evil = await new_database(PLAIN, VALID, ONE, TWO), "clojure.core/load-string"
    preds, name, id_ = [await id_of(source, each) for each in ("db.attr/preds", "u/name", "u/id")]
    histories = [
        AlteredDatabase(source, replaced(7777, (name, preds, "y", evil, True))),
        AlteredDatabase(source, replaced(7777, (preds, id_, "l", 7777, True))),
        await upgraded(source, symbol=evil),
        await upgraded(source, (None, id_, "l", 7777, True), symbol="my.app/valid?"),
    ]
    for history in histories:
        target = await new_database()
        with pytest.raises(UsageError, match=r"t \d+ has code that is not allowed"):
            await restore(history, target, allow_code=["my.app/valid?", "my.app/new?"])
        assert await predicates(target) == {"my.app/valid?"}

    target = await new_database()
    await restore(await upgraded(source, symbol="my.app/new?"), target, allow_code="all")
    assert await predicates(target) == {"my.app/valid?", "my.app/new?"}


@pytest.mark.parametrize("engine", [LOCAL, PEER])
async def test_an_upgraded_base_schema_is_read_for_code(new_database: NewDatabase) -> None:
    source, store = await new_database(PLAIN, ONE, TWO), MemoryStore()
    await backup(await upgraded(source, symbol="my.app/new?"), store, name="db")
    with pytest.raises(UsageError, match=r"not allowed: my\.app/new\? \(:db\.attr/preds, t \d+\)"):
        await restore(store, await new_database())
    target = await new_database()
    await restore(store, target, segments=1, allow_code=["my.app/new?"])
    assert await predicates(target) == {"my.app/new?"}


async def test_functions_of_other_attributes_and_older_idents(new_database: NewDatabase) -> None:
    function = "#db/fn {:lang :clojure :params [db %s] :code []}"
    source = await new_database(
        """[{:db/ident :my/code :db/valueType :db.type/fn :db/cardinality :db.cardinality/one}
            {:db/ident :my/g}]""",
        "[{:db/ident :my/h}]",
        of=PEER,
    )
    store, target = MemoryStore(), await new_database(of=PEER)
    await backup(source, store, name="db")
    await restore(store, target)
    await source.transact_edn([f"[[:db/add :my/g :my/code {function % 'x'}]]"])
    await source.transact_edn([f"[[:db/add :my/h :db/fn {function % 'y'}]]"])
    await backup(source, store, name="db")

    for history in (store, source):
        with pytest.raises(UsageError, match=r": :my/g \(:my/code, t \d+\), :my/h \(:db/fn, t \d+\)\."):
            await restore(history, target)
    await restore(store, target, allow_code=[":my/g", ":my/h"])
    assert (await verify(store, against=target)).problems == []
