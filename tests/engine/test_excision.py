"""Excision in a source and its backups: what was excised stays away, and is not taken for damage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import Conflict, DamageError
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import LogChunk, tx_to_t
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import DatabaseWrapper
from tests.support.altered import AlteredDatabase, chunk_of
from tests.support.damage import NAME, begin, load
from tests.support.excision import excised

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.altered import Row
    from tests.support.databases import NewDatabase
    from tests.support.excision import ExcisedDatabase

pytestmark = pytest.mark.anyio

ONE, MANY = ":db/cardinality :db.cardinality/one", ":db/cardinality :db.cardinality/many"
SCHEMA = f"""[
  {{:db/ident :p/name :db/valueType :db.type/string {ONE}}}
  {{:db/ident :p/email :db/valueType :db.type/string {ONE} :db/unique :db.unique/identity}}
  {{:db/ident :p/city :db/valueType :db.type/string {ONE}}}
  {{:db/ident :p/tags :db/valueType :db.type/string {MANY}}}
  {{:db/ident :p/friend :db/valueType :db.type/ref {MANY}}}
  {{:db/ident :p/address :db/valueType :db.type/ref {MANY} :db/isComponent true}}]"""
PLACE = f"""[{{:db/ident :p/place :db/valueType :db.type/tuple :db/tupleAttrs [:p/name :p/city] {ONE}}}]"""
ANN = '{:db/id "ann" :p/name "Ann" :p/email "ann@x" :p/city "Rome" :p/tags ["t1" "t2"]}'
BOB = '{:db/id "bob" :p/name "Bob" :p/city "Oslo"}'


@dataclass
class Source:
    """A source of Pro, with the entity ids by tempid and the t of each transaction that `do` made."""

    database: BridgeDatabase
    ids: dict[str, int]
    ts: list[int]

    async def do(self, *transactions: str) -> None:
        """Commits transactions; in them #NAME is the entity of that tempid, %N the t of the N-th."""
        for transaction in transactions:
            text = transaction
            for name, entity in self.ids.items():
                text = text.replace(f"#{name}", str(entity))
            for n, t in enumerate(self.ts):
                text = text.replace(f"%{n}", str(t))
            [(tx, made)] = await self.database.transact_edn([text])
            self.ids.update(made)
            self.ts.append(tx_to_t(tx))

    async def excised(self) -> ExcisedDatabase:
        return await excised(self.database)


async def new_source(new_database: NewDatabase, *transactions: str) -> Source:
    source = Source(await new_database(SCHEMA, of=PEER), {}, [])
    await source.do(*transactions)
    return source


async def texts(database: Database) -> set[Any]:
    """Every text that was ever asserted or retracted, also in tuples."""
    _, log = await database.read_log(0, await database.basis_t() + 1, size=10**9)
    raws = [datom[3] for datom in log.datoms()]
    slots = [slot[1] for raw in raws if isinstance(raw, tuple) for slot in raw if slot]
    return {each for each in (*raws, *slots) if isinstance(each, str)}


async def present(database: BridgeDatabase, attribute: str) -> set[Any]:
    return {row[0] for row in await database.query(f"[:find ?v :where [_ {attribute} ?v]]")}


async def check(history: Any, target: BridgeDatabase, **options: Any) -> None:
    """The target has the history, and nothing that is excised."""
    verified = await verify(history, against=target, **options)
    assert verified.problems == []
    assert (verified.excised.held, verified.notes) == (0, [])


@pytest.mark.parametrize("there", [PEER, LOCAL])
async def test_excised_value_stays_away(new_database: NewDatabase, there: str) -> None:
    source = await new_source(new_database, f"[{ANN}]", f"[{BOB}]")
    store = MemoryStore()
    await backup(source.database, store)
    await source.do("[{:db/excise #ann :db.excise/attrs [:p/name]}]", '[{:db/id #ann :p/city "Bonn"}]')
    after = await source.excised()
    assert "Ann" not in await texts(after)
    await backup(after, store)

    target = await new_database(of=there)
    report = await restore(store, target)

    assert (report.excised.requests, report.excised.left_out, report.notes) == (1, 1, [])
    assert "Ann" not in await texts(target)
    assert {"ann@x", "Bonn", "Bob"} <= await texts(target)
    assert not {"db/excise", "db.excise/attrs"} & await used(target)
    await check(store, target)
    await check(after, target)

    target = await new_database(of=there)
    report = await restore(store, target, keep_excised=True)

    assert (report.excised.requests, report.excised.left_out) == (1, 0)
    assert "Ann" in await present(target, ":p/name")
    assert not {"db/excise", "db.excise/attrs"} & await used(target)
    await check(store, target, keep_excised=True)
    verified = await verify(store, against=target)
    assert (verified.problems, verified.excised.held) == ([], 1)
    assert "holds 1 datom" in verified.notes[0]


async def used(database: BridgeDatabase) -> set[str]:
    """The idents of the attributes that have datoms in the log."""
    names = {e: raw for _, (e, _, kind, raw, _) in (await database.schema_history()).rows() if kind == "k"}
    _, log = await database.read_log(0, await database.basis_t() + 1, size=10**9)
    return {str(names.get(a)) for a in log.a}


CASES = {
    "entity, its components, and what refers to it": (
        (
            '[{:db/id "ann" :p/name "gone1" :p/address {:db/id "home" :p/city "gone2"}}'
            ' {:db/id "bob" :p/name "Bob" :p/friend ["ann" "home"]}]',
            '[{:db/id #ann :p/name "gone3"} {:db/id "eve" :p/name "Eve" :p/friend #bob}]',
        ),
        "[{:db/excise #ann}]",
        ('[{:db/id #eve :p/friend #ann :p/name "Eva"}]', '[{:db/id #ann :p/name "anew"}]'),
        6,
    ),
    "attribute": (
        ('[{:db/id "ann" :p/name "gone1"} {:db/id "bob" :p/name "gone2" :p/city "Oslo"}]',
         '[{:db/id #ann :p/name "gone3"}]'),
        "[{:db/excise :p/name}]",
        ('[{:db/id #bob :p/name "Bob"}]', '[{:db/id #bob :p/name "Rob"} [:db/retract #ann :p/city]]'),
        3,
    ),
    "before a t, with values that are changed and retracted after it": (
        ('[{:db/id "ann" :p/name "gone1" :p/tags ["gone2" "kept"] :p/city "gone4"}]',
         '[{:db/id #ann :p/name "kept1" :p/tags ["kept2" "kept3"]} [:db/retract #ann :p/tags "gone2"]]',
         '[{:db/id #ann :p/name "kept4"} [:db/retract #ann :p/tags "kept2"] [:db/retract #ann :p/city]]'),
        "[{:db/excise #ann :db.excise/beforeT %1}]",
        ("[[:db/retractEntity #ann]]",),
        4,
    ),
    "attribute before a t and a later instant": (
        ('[{:db/id "datomic.tx" :db/doc "first"} {:db/id "ann" :p/name "gone1"}]',
         '[{:db/id "bob" :p/name "kept"}]', '[{:db/id #ann :p/name "kept1"}]'),
        '[{:db/excise :p/name :db.excise/before #inst "2100-01-01" :db.excise/beforeT %1}]',
        ('[{:db/id #ann :p/name "kept2"}]',),
        1,
    ),
    "unique identity, taken by another entity": (
        ('[{:db/id "ann" :p/email "gone" :p/name "gone1"}]', '[{:db/id "bob" :p/name "Bob"}]'),
        "[{:db/excise #ann}]",
        ('[{:db/id "new" :p/email "new@x"}]', '[{:db/id [:p/email "new@x"] :p/name "New"}]'),
        2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_what_is_excised_stays_away(new_database: NewDatabase, case: str) -> None:
    """From a backup of before the request and after it, and from the source that has not carried it out."""
    before, request, after, left_out = CASES[case]
    source = await new_source(new_database, *before)
    store = MemoryStore()
    await backup(source.database, store, segment_size=source.ts[0] + 1)
    await source.do(request)
    done = await source.excised()
    await source.do(*after)
    await backup(done, store)

    for history in (store, source.database):
        target = await new_database(of=PEER)
        report = await restore(history, target)

        assert report.excised.left_out == left_out
        assert not [text for text in await texts(target) if text.startswith("gone")]
        await check(history, target)
        await check(done, target)


async def test_retraction_that_only_the_source_can_note(new_database: NewDatabase) -> None:
    """After the request, of a value that it covers: the target never had it."""
    source = await new_source(new_database, f"[{ANN}]", "[{:db/excise #ann}]", "[[:db/retractEntity #ann]]")
    done = await source.excised()
    assert "Ann" in await texts(done)  # Datomic leaves what came after the request

    target = await new_database(of=PEER)
    await restore(done, target)

    assert "Ann" not in await texts(target)
    await check(done, target)


@pytest.mark.parametrize(
    "request_", ["[{:db/excise #ann :db.excise/attrs [:p/name]}]", "[{:db/excise :p/name}]"]
)
async def test_composites_of_what_is_excised(new_database: NewDatabase, request_: str) -> None:
    """An excision leaves them; the target makes them of what it has."""
    source = await new_source(
        new_database, PLACE, f"[{ANN} {BOB}]",
        '[{:db/id #ann :p/city "Bonn"}]', '[{:db/id #ann :p/name "Anni"}]',
    )  # fmt: skip
    store = MemoryStore()
    await backup(source.database, store)
    await source.do(
        request_,
        '[{:db/id #ann :p/city "Pisa"}]',
        '[{:db/id #ann :p/name "Anna"}]',
        "[[:db/retract #ann :p/city]]",
        "[[:db/retractEntity #ann]]",
    )
    done = await source.excised()
    assert "Ann" in await texts(done)
    await backup(done, store)

    target = await new_database(of=PEER)
    await restore(store, target)

    assert not {"Ann", "Anni"} & await texts(target)
    await check(store, target)
    await check(done, target)


async def test_composite_filled_in_without_what_is_excised(new_database: NewDatabase) -> None:
    source = await new_source(
        new_database, f"[{ANN}]", PLACE, '[{:db/id #ann :p/name "Ann"}]',
        "[{:db/excise #ann :db.excise/attrs [:p/name]}]",
    )  # fmt: skip
    target = await new_database(of=PEER)

    await restore(source.database, target)

    assert await present(target, ":p/place") == {(None, "Rome")}
    assert "Ann" not in await texts(target)
    await check(source.database, target)


async def test_filter_and_excision(new_database: NewDatabase) -> None:
    source = await new_source(new_database, f"[{ANN} {BOB}]", '[{:db/id #bob :p/name "Rob" :p/friend #ann}]')
    store = MemoryStore()
    await backup(source.database, store)
    await source.do("[{:db/excise #ann :db.excise/attrs [:p/name :p/tags]}]", '[{:db/id #bob :p/name "Bo"}]')
    done = await source.excised()
    await backup(done, store)
    options: dict[str, Any] = {
        "exclude": [":p/city", ":db/excise"],
        "rewrite": {"p/name": "hash"},
        "rewrite_key": b"0123456789abcdef",
    }

    target = await new_database(of=PEER)
    report = await restore(store, target, **options)

    assert report.excised.left_out == 3
    assert not {"Ann", "t1", "t2", "Rome", "Bob"} & await texts(target)
    assert len(await present(target, ":p/name")) == 1
    verified = await verify(store, against=target, **options)
    assert (verified.problems, verified.filtered) == ([], report.filtered)
    assert verified.excised == report.excised
    await check(done, target, **options)


async def test_target_that_was_given_it_before_the_request(new_database: NewDatabase) -> None:
    """It goes on, and what it holds is told, components included that the source no more shows as such."""
    home = '{:db/id "home" :p/city "Home"}'
    source = await new_source(new_database, f"[{ANN} {BOB} {home}]", "[{:db/id #ann :p/address #home}]")
    target, store = await new_database(of=PEER), MemoryStore()
    await restore(source.database, target)
    await source.do('[{:db/id #ann :p/name "Anne"} [:db/retract #ann :p/tags "t1"]]', "[{:db/excise #ann}]")
    await backup(source.database, store)
    await source.do("[[:db/retractEntity #ann]]", '[{:db/id "eve" :p/name "Eve"}]')
    done = await source.excised()
    await backup(done, store)

    report = await restore(store, target)

    assert report.excised.left_out == 1
    assert f"t {source.ts[3]} cover may be in its history" in report.notes[0]
    assert await present(target, ":p/name") == {"Bob", "Eve"}
    assert await present(target, ":p/tags") == set()
    for history in (store, done):
        verified = await verify(history, against=target)
        assert verified.problems == []
        assert verified.excised.held == 9
        assert "holds 9 datoms that a request for excision covers" in verified.notes[0]
    assert (await restore(store, target)).notes == []

    other = await verify(done, against=AlteredDatabase(target, renamed), max_differences=100)
    assert [problem.split(":")[1].split(" (")[0] for problem in other.problems] == [
        " missing in the target",
        " only in the target",
    ]


def renamed(rows: list[Row]) -> list[Row]:
    return [(tx, (*d[:3], "Rob", d[4])) if d[3] == "Bob" else (tx, d) for tx, d in rows]


async def test_excised_value_of_the_newest_transaction_is_no_rollback(new_database: NewDatabase) -> None:
    source = await new_source(new_database, f"[{BOB}]", f'[{ANN} {{:db/id "x" :p/name "X"}}]')
    store = MemoryStore()
    await begin(store, source.database.name)
    await backup(source.database, store)
    await source.do("[{:db/excise #ann}]", '[{:db/id "y" :p/name "Y"}]')
    done = await source.excised()
    later = MemoryStore()
    await begin(later, done.name)
    await backup(done, later)
    assert (await copy(store, later)).ok  # of the two backups the one has it, the other has not

    report = await backup(done, store)

    assert report.transactions == 2
    target = await new_database(of=PEER)
    await restore(store, target)
    await check(done, target)


async def test_other_difference_in_the_newest_transaction_is_a_rollback(new_database: NewDatabase) -> None:
    """Something is missing that no request covers; or it is covered, and something else is there."""
    source = await new_source(new_database, f"[{BOB}]", f"[{ANN}]")
    store = MemoryStore()
    await backup(source.database, store)
    await source.do("[{:db/excise #ann :db.excise/attrs [:p/name]}]")
    done = await source.excised()

    for old, new in (("ann@x", None), ("ann@x", "eve@x")):
        with pytest.raises(Conflict, match="have diverged"):
            await backup(Changed(done, old, new), store)


class Changed(DatabaseWrapper):
    """A database in whose log a text is missing or another one."""

    def __init__(self, inner: Database, old: str, new: str | None) -> None:
        super().__init__(inner)
        self._old, self._new = old, new

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        next_t, chunk = await self.inner.read_log(start, end, size=size)
        rows = [row for row in chunk.rows() if self._new or row[1][3] != self._old]
        return next_t, chunk_of(
            (tx, (*d[:3], self._new or "", d[4]) if d[3] == self._old else d) for tx, d in rows
        )


async def test_segments_that_hold_it_are_named(new_database: NewDatabase) -> None:
    source = await new_source(new_database, f"[{BOB}]", f"[{ANN}]", '[{:db/id "x" :p/name "X"}]')
    store = MemoryStore()
    first = await backup(source.database, store, segment_size=source.ts[1])
    await source.do("[{:db/excise #ann}]")
    done = await source.excised()

    report = await backup(done, store, segment_size=source.ts[1])

    assert [len(first.segments), first.notes] == [2, []]
    assert report.excised.requests == 1
    assert report.excised.segments == [each.key for each in first.segments]
    assert "may hold what is excised" in report.notes[0]
    assert (await backup(done, store)).notes == []
    for live in (None, done):
        verified = await verify(store, live=live)
        assert verified.ok
        assert (verified.excised.requests, verified.excised.held) == (1, 5)
        assert verified.excised.segments == [first.segments[1].key]
        assert any("requests for excision cover 5 datoms in" in note for note in verified.notes)


async def test_repair_and_delete_take_it_out_of_the_backup(new_database: NewDatabase) -> None:
    source = await new_source(new_database, f"[{BOB}]", f"[{ANN}]", '[{:db/id "x" :p/name "X"}]')
    store = MemoryStore()
    await backup(source.database, store, name=NAME, segment_size=source.ts[1])
    await source.do("[{:db/excise #ann}]", "[]")
    done = await source.excised()
    await backup(done, store, name=NAME, segment_size=source.ts[1])
    verified = await verify(store, live=done)
    assert (verified.problems, verified.excised.held) == ([], 5), "an excision is no damage"
    assert (await verify(store, live=Changed(done, "Bob", None))).problem_count == 1

    repaired = await repair(done, store, name=NAME, segment_size=source.ts[1])

    assert (repaired.ok, len(repaired.aside)) == (True, 1)
    assert repaired.aside[0].reason == "it has 5 datoms that the source has excised"
    verified = await verify(store, live=done)
    assert (verified.problems, verified.excised.held) == ([], 0)
    await delete(store, NAME, superseded=True, confirmed=True)
    held = [Segment(data) for data in (await load(store)).values()]
    assert not any("ann@x" in chunk.texts for segment in held for chunk in segment.chunks())
    assert (await verify(store, live=done)).ok
    target = await new_database(of=PEER)
    await restore(store, target)
    await check(done, target)


async def test_a_segment_that_follows_what_was_excised_is_written_anew(new_database: NewDatabase) -> None:
    source = await new_source(new_database, f"[{BOB}]", f"[{ANN}]", '[{:db/id "x" :p/name "X"}]')
    store = MemoryStore()
    await backup(source.database, store, name=NAME, end_t=source.ts[0])
    await backup(source.database, store, name=NAME, segment_size=1)
    await source.do("[{:db/excise #ann}]", "[]")
    done = await source.excised()
    await backup(done, store, name=NAME, segment_size=1)
    assert (await verify(store, live=done)).problems == []
    restored = await new_database(of=PEER)
    await restore(store, restored)

    # It is the last transaction before each segment up to that of the next one; t is sparse.
    held, *follow = (SegmentRange(t, t + 1).key for t in range(source.ts[1], source.ts[2] + 1))
    repaired = await repair(done, store, name=NAME, segment_size=1)

    assert repaired.verified.problems == []
    assert [each.key for each in repaired.aside] == [held, *follow]
    assert "does not follow the last transaction" in repaired.aside[-1].reason
    assert (await verify(store, live=done)).problems == []
    assert (await repair(done, store, name=NAME, segment_size=1)).aside == []
    await restore(store, restored)


async def test_request_that_was_not_announced_stops_the_restore(new_database: NewDatabase) -> None:
    """What it covers was not left out; everything before it is there."""
    source = await new_source(new_database, f"[{ANN}]", f"[{BOB}]", "[{:db/excise #ann}]", '[{:p/name "x"}]')
    target = await new_database(of=PEER)

    with pytest.raises(DamageError, match=f"t {source.ts[2]}: entity .* asks for an excision"):
        await restore(Silent(source.database), target)

    assert "Bob" in await texts(target)
    assert "x" not in await texts(target)


class Silent(DatabaseWrapper):
    """A database that does not say which requests it has."""

    async def schema_history(self) -> LogChunk:
        chunk = await self.inner.schema_history()
        names = {e: raw for _, (e, _, kind, raw, _) in chunk.rows() if kind == "k"}
        return chunk_of([row for row in chunk.rows() if "excise" not in str(names.get(row[1][1]))])
