"""Database functions, which only Datomic Pro has: what they keep besides their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.uri import PEER
from asyncrestore.errors import AsyncRestoreError
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.support.altered import AlteredDatabase

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

CODE = r'"^:m [(let [^long z (inc x)] z) #\"a.b\" \\c 1N]"'
HINTED = (
    rf"""[{{:db/ident :f/hinted
          :db/fn #db/fn {{:lang "clojure" :params [db ^long x ^"[J" y] :code {CODE}}}}}
         {{:db/ident :f/much
          :db/fn #db/fn {{:lang :clojure
                          :params [db ^{{:tag String :see {{:b #{{3 1 2}} :a [1 ^:q r 2.5M]}}}} x
                                   & ^java.util.List more]
                          :requires [[clojure.string :as str] [clojure.set :rename {{union u, difference d}}]]
                          :imports [[java.util ^:k Date UUID] java.net.URI]
                          :code nil}}}}
         {{:db/ident :f/java :db/fn #db/fn {{:lang :java :params [db ^String x] :code "return x;"}}}}
         {{:db/ident :f/itself :db/fn ^:whole #db/fn {{:lang :clojure :params [db] :code []}}}}
         {{:db/ident :f/plain :db/fn #db/fn {{:lang "clojure" :params [db x] :code [{{:db/doc x}}]}}}}]""",
    # Datomic compares functions without metadata, but notes what it was asked to retract.
    f"""[[:db/retract :f/hinted :db/fn #db/fn {{:lang "clojure" :params [db ^int x y] :code {CODE}}}]]""",
)  # fmt: skip
PLAIN = '{:lang :clojure, :imports [], :requires [], :params [db x], :code "[{:db/doc x}]"}'


async def functions(database: BridgeDatabase) -> list[tuple[str, bool]]:
    """The functions in the log, as text and whether they were asserted."""
    _, log = await database.read_log(0, await database.basis_t() + 1, size=1_000_000)
    return [(str(raw), added) for _, (_, _, kind, raw, added) in log.rows() if kind == "c"]


async def test_functions_keep_their_metadata(new_database: NewDatabase) -> None:
    source, target, store = await new_database(*HINTED, of=PEER), await new_database(of=PEER), MemoryStore()
    await backup(source, store)

    await restore(store, target, allow_code="all")

    assert (await verify(store, against=target)).problems == []
    found = await functions(target)
    assert found == await functions(source)
    hinted, much, java, itself, plain, retracted = [text for text, _ in found]
    assert ':params [db ^{:tag long} x ^{:tag "[J"} y]' in hinted
    # Maps and sets are in one order, whatever order they were written in.
    assert "^{:see {:a [1 ^{:q true} r 2.5M], :b #{1 2 3}}, :tag String} x" in much
    assert "& ^{:tag java.util.List} more]" in much
    assert "[clojure.set :rename {difference d, union u}]" in much
    assert ":imports [[java.util ^{:k true} Date UUID] java.net.URI]" in much
    assert ":params [db ^{:tag String} x]" in java
    assert itself.startswith("^{:whole true} {:lang")
    assert plain == PLAIN, "as in backups that were made before"
    assert "^{:tag int} x y" in retracted
    assert found[-1][1] is False


async def test_functions_without_their_metadata_are_another(new_database: NewDatabase) -> None:
    """As in a backup from when type hints were left out: it is restored, and differs from its source."""
    source, target = await new_database(*HINTED[:1], of=PEER), await new_database(of=PEER)

    def without_hints(rows: list[Row]) -> list[Row]:
        return [
            (tx, (e, a, kind, str(raw).replace("^{:tag long} ", "") if kind == "c" else raw, added))
            for tx, (e, a, kind, raw, added) in rows
        ]

    old = AlteredDatabase(source, without_hints)
    await restore(old, target, allow_code="all")

    assert (await verify(old, against=target)).problems == []
    missing, extra = (await verify(source, against=target)).problems
    assert "missing in the target" in missing
    assert "[db ^{:tag long} x" in missing
    assert "only in the target" in extra
    assert "[db x" in extra


async def test_function_that_its_text_does_not_give_back_is_refused(new_database: NewDatabase) -> None:
    source = await new_database(
        """[{:db/ident :f/f :db/fn #db/fn {:lang :clojure :params [db ^{:key #base64 "AP9+"} x] :code x}}]""",
        of=PEER,
    )
    with pytest.raises(AsyncRestoreError, match=r"function with the parameters \[db x\] has parts"):
        await backup(source, MemoryStore())


async def test_numbers_and_booleans_of_any_class(new_database: NewDatabase) -> None:
    """A database in memory keeps what a function gave it: a Boolean that is not Boolean.FALSE, a Short."""
    attribute = "{{:db/ident :x/{0} :db/valueType :db.type/{0} :db/cardinality :db.cardinality/one}}"
    source, target = (
        await new_database(
            f"[{attribute.format('boolean')} {attribute.format('long')}]",
            """[{:db/ident :x/make :db/fn #db/fn {:lang :clojure :params [db]
                 :code [{:db/id "x" :x/boolean (Boolean. false) :x/long (short 5)}]}}]""",
            "[[:x/make]]",
            of=PEER,
        ),
        await new_database(of=PEER),
    )

    await restore(source, target, allow_code="all")

    assert await target.query("[:find ?b ?l :where [?e :x/boolean ?b] [?e :x/long ?l]]") == [(False, 5)]
