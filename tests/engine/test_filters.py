"""Leaving out and rewriting on real databases: the filtered history is exact, and verify knows it."""

from __future__ import annotations

import lzma
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from anyio import to_thread

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import Conflict, RewriteFailed, UsageError
from asyncrestore.history import live
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.info import DatabaseInfo, info
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.values import Keyword
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.altered import AlteredDatabase

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

KEY = b"0123456789abcdef"


class TurnedRound:
    """A rewriting function that keeps values apart, with its inverse: itself."""

    def __call__(self, _attribute: str, value: Any) -> Any:
        return Keyword(value.name[::-1]) if isinstance(value, Keyword) else value[::-1]

    inverse = __call__


class Shifted:
    """The same for numbers."""

    def __call__(self, _attribute: str, value: Any) -> Any:
        return value + 1000

    def inverse(self, _attribute: str, value: Any) -> Any:
        return value - 1000


FILTERS: dict[str, dict[str, Any]] = {
    "exclude": {"exclude": ["p/full-name", "p/boss", "v/pair", "v/refs"]},
    "exclude with schema": {
        "exclude": ["p/tags", "p/city", "p/boss", "p/full-name", "p/name"],
        "exclude_schema": True,
    },
    "hash": {"rewrite": {"p/tags": "hash", "p/full-name": "hash", "v/uuid": "hash"}, "rewrite_key": KEY},
    "hash of what is unique": {
        "exclude": ["p/mail-code"],
        "exclude_schema": True,
        "rewrite": {"p/email": "hash", "p/code": "hash"},
        "rewrite_key": KEY,
    },
    "constant and function": {
        "rewrite": {
            "p/full-name": 'constant:N\u00f6 "body"\\ \U0001f600',
            "p/secret": "constant:none",
            "v/string": TurnedRound(),
            "v/boolean": "constant:true",
            "p/friend": "null",
        }
    },
    "functions with an inverse": {
        "exclude": ["p/mail-code"],
        "exclude_schema": True,
        "rewrite": {"p/email": TurnedRound(), "p/code": Shifted(), "p/tags": TurnedRound()},
    },
    "fake": {"rewrite": {"p/full-name": "fake:name"}, "rewrite_key": KEY},
}


@pytest.mark.parametrize("options", FILTERS.values(), ids=FILTERS)
async def test_filtered_history_is_exact(new_database: NewDatabase, options: dict[str, Any]) -> None:
    source, target, store = await new_database(*ODD), await new_database(), MemoryStore()
    await backup(source, store, segment_size=4)

    report = await restore(store, target, **options)

    assert report.transactions == len(ODD)
    assert any(done.left_out or done.rewritten for done in report.filtered)
    verified = await verify(store, against=target, **options)
    assert verified.problems == []
    assert verified.filtered == report.filtered
    assert (await verify(source, against=target, **options)).problems == []


@pytest.mark.parametrize("options", FILTERS.values(), ids=FILTERS)
async def test_filtered_copy_is_a_source(new_database: NewDatabase, options: dict[str, Any]) -> None:
    source, first, second = [await new_database(*history) for history in (ODD, (), ())]
    store = MemoryStore()
    await restore(source, first, **options)

    await backup(first, store, name="copy", segment_size=7)
    report = await restore(store, second)

    assert report.transactions == len(ODD)
    assert report.filtered == []
    assert (await verify(first, against=second)).problems == []
    told = await info(first)
    assert isinstance(told, DatabaseInfo)
    assert told.filtered
    told = await info(second)
    assert isinstance(told, DatabaseInfo)
    assert told.filtered is None


@pytest.mark.parametrize("options", FILTERS.values(), ids=FILTERS)
async def test_filtered_restore_stopped_at_every_transaction(
    new_database: NewDatabase, options: dict[str, Any]
) -> None:
    source, target = await new_database(*ODD), await new_database()
    last_t = await source.basis_t()

    for t in range(last_t - len(ODD) + 1, last_t + 1):
        report = await restore(source, target, until_t=t, **options)
        assert (report.transactions, report.last_t) == (1, t)

    assert (await verify(source, against=target, **options)).problems == []


async def names_of(database: BridgeDatabase, attribute: str) -> list[Any]:
    return [row[0] for row in await database.query(f"[:find ?v :where [_ {attribute} ?v]]")]


async def test_excluded_schema_is_not_in_the_target(new_database: NewDatabase) -> None:
    """Also where other data refers to the attribute, before and after."""
    source = await new_database(
        SCHEMA,
        '[{:db/id "r" :p/boss :p/tags} {:db/id "x" :p/tags [:a]}]',
        '[{:p/name "late" :p/friend [:p/tags :p/city]}]',
        '[[:db/add :p/tags :db/doc "a doc"]]',
        '[[:db/add "n" :p/name "n"] [:db/add "n" :p/boss :p/tags]]',
    )
    target = await new_database()
    options: dict[str, Any] = {"exclude": ["p/tags", "p/city"], "exclude_schema": True}

    report = await restore(source, target, **options)

    assert (await verify(source, against=target, **options)).problems == []
    assert ":p/tags" not in [str(ident) for ident in await names_of(target, ":db/ident")]
    assert ":p/name" in [str(ident) for ident in await names_of(target, ":db/ident")]
    # Ident, type, cardinality, and that it was installed; of one also its only datom and its doc.
    assert {done.attribute: done.left_out for done in report.filtered} == {"p/tags": 6, "p/city": 4}


async def test_new_entity_all_of_whose_datoms_are_left_out_is_found_later(new_database: NewDatabase) -> None:
    source = await new_database(
        SCHEMA,
        '[{:db/id "hidden" :p/secret "s" :p/code 5} {:db/id "other" :p/name "o"}]',
        '[{:p/name "refers" :p/boss [:p/code 5]}]',
        '[[:db/add [:p/code 5] :p/name "seen now"]]',
    )
    target = await new_database()
    options: dict[str, Any] = {"exclude": ["p/secret", "p/code"]}

    await restore(source, target, id_cache_size=0, **options)

    assert (await verify(source, against=target, **options)).problems == []


async def test_attributes_go_by_any_name_over_all_their_history(new_database: NewDatabase) -> None:
    source = await new_database(
        SCHEMA,
        '[{:db/id "a" :p/name "before"}]',
        "[{:db/id :p/name :db/ident :p/full-name}]",
        '[{:db/id "b" :p/full-name "after"}]',
    )
    first, second = await new_database(), await new_database()

    await restore(source, first, exclude=["p/name"])
    await restore(source, second, exclude=[":p/full-name"])

    assert await names_of(first, ":p/full-name") == await names_of(second, ":p/full-name") == []
    # Continued under the other name: it is the same attribute.
    await source.transact_edn(['[{:db/id "c" :p/full-name "later"}]'])
    assert (await restore(source, first, exclude=["p/full-name"])).transactions == 1
    # The old name now belongs to another attribute: that is not what was excluded.
    await source.transact_edn(
        ["[{:db/ident :p/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]"]
    )
    with pytest.raises(Conflict, match=r"restored with :p/\S*name exclude; now it is :p/name exclude"):
        await restore(source, first, exclude=["p/name"])


async def test_what_an_attribute_once_was_counts(new_database: NewDatabase) -> None:
    """Uniqueness and cardinality many are over: with a live source, and in segments that begin after that."""
    source, target, store = await new_database(*ODD), await new_database(), MemoryStore()
    await source.transact_edn(
        [
            "[{:db/ident :u/u :db/valueType :db.type/string :db/cardinality :db.cardinality/one"
            " :db/unique :db.unique/identity}]",
            "[[:db/retract :u/u :db/unique :db.unique/identity]]",
            "[{:db/ident :m/m :db/valueType :db.type/string :db/cardinality :db.cardinality/many}]",
            "[{:db/id :m/m :db/cardinality :db.cardinality/one}]",
            "[]",
        ]
    )
    await backup(source, store, segment_size=1)
    for origin in (source, store):
        with pytest.raises(UsageError, match=":u/u is or was unique"):
            await restore(origin, target, rewrite={"u/u": "constant:1"})
        with pytest.raises(UsageError, match=":m/m has or had cardinality many"):
            await restore(origin, target, rewrite={"m/m": "constant:1"})
        with pytest.raises(UsageError, match=":u/u cannot be left out: it is unique"):
            await restore(origin, target, exclude=["u/u"], exclude_schema=True)
        with pytest.raises(UsageError, match=r":p/code cannot be rewritten.*composite tuple :p/mail-code"):
            await restore(origin, target, rewrite={"p/code": "hash"}, rewrite_key=KEY)
    copy = await new_database()
    await restore(source, copy)
    with pytest.raises(UsageError, match="restores write for themselves"):
        await restore(copy, target, exclude=["asyncrestore/original-id"])
    await restore(store, target)  # it is still empty


async def test_other_options_than_before_are_refused(new_database: NewDatabase) -> None:
    source, filtered, plain = await new_database(SCHEMA, *PEOPLE), await new_database(), await new_database()
    options: dict[str, Any] = {"rewrite": {"p/email": "hash"}, "rewrite_key": KEY}
    await restore(source, filtered, **options)
    await restore(source, plain)
    others: list[dict[str, Any]] = [
        {},
        {"rewrite": {"p/email": "hash"}, "rewrite_key": KEY[::-1]},
        {**options, "exclude": ["p/name"]},
    ]
    for other in others:
        for run in (restore(source, filtered, **other), verify(source, against=filtered, **other)):
            with pytest.raises(
                Conflict, match=r"restored with :p/email hash \(key [0-9a-f]{16}\); now"
            ) as caught:
                await run
            assert KEY.decode() not in str(caught.value) + caught.value.hint
    with pytest.raises(Conflict, match="restored with nothing left out or rewritten; now it is"):
        await verify(source, against=plain, **options)
    assert (await restore(source, filtered, **options)).transactions == 0
    with pytest.raises(UsageError, match="no target was given"):
        await verify(MemoryStore(), exclude=["p/name"])


async def test_verify_sees_what_was_not_filtered(new_database: NewDatabase) -> None:
    """A clear value in the target is a difference, and so is a rewritten one that is missing."""
    source, target = await new_database(SCHEMA, *PEOPLE), await new_database()
    options: dict[str, Any] = {"exclude": ["p/tags"], "rewrite": {"p/name": "hash"}, "rewrite_key": KEY}
    await restore(source, target, **options)

    def unfiltered(rows: list[Any]) -> list[Any]:
        names = [raw for _, (_, _, kind, raw, _) in rows if kind == "s" and len(str(raw)) == 64]
        return [
            (tx, (e, a, kind, "Ann" if raw in names[:1] else raw, added))
            for tx, (e, a, kind, raw, added) in rows
        ]

    report = await verify(source, against=AlteredDatabase(target, unfiltered), **options)

    assert any("only in the target" in problem and "'Ann'" in problem for problem in report.problems)
    assert any("missing in the target" in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("instead", "says"), [(None, "Picky: it raised ValueError$"), (7, "a int instead of a str")]
)
async def test_rewriting_that_fails_stops_right_before(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, instead: Any, says: str
) -> None:
    """Everything before that transaction is restored, also what was in flight; corrected, it continues."""
    monkeypatch.setattr(live, "PAGE_WEIGHT", 30)  # nor is anything of the pages after it
    people = [f'[{{:p/name "{i}"}}]' for i in range(300)]
    source, target = await new_database(SCHEMA, *people), await new_database()

    class Picky:
        def __init__(self, *, refused: str) -> None:
            self.refused = refused

        def __call__(self, _attribute: str, value: str) -> Any:
            if value == self.refused and instead is None:
                raise ValueError(f"no {value}")
            return instead if value == self.refused else value + "!"

    with pytest.raises(RewriteFailed, match=rf"t 207: the value of :p/name of entity \d+.*{says}"):
        await restore(source, target, rewrite={"p/name": Picky(refused="200")})

    assert len(await names_of(target, ":p/name")) == 200
    with pytest.raises(RewriteFailed):
        await verify(source, against=target, rewrite={"p/name": Picky(refused="200")})
    report = await restore(source, target, rewrite={"p/name": Picky(refused="")})
    assert report.transactions == 100
    assert (await verify(source, against=target, rewrite={"p/name": Picky(refused="")})).problems == []


SECRETS = [f"clear-{word}-value" for word in ("walnut", "pelican", "marble")]
HASHED = [f"hashed-{word}-value" for word in ("copper", "violet")]


def contents(directory: Path) -> list[bytes]:
    """All files, as they are, and every compressed stream in them that can be found, decompressed."""
    found: list[bytes] = []
    for path in directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [data, data.replace(b"\0", b"")]
            for magic, decompress in (
                (b"\x1f\x8b", lambda part: zlib.decompressobj(31).decompress(part)),
                (b"\x78", lambda part: zlib.decompressobj().decompress(part)),
                (b"\xfd7zXZ", lzma.decompress),
                (
                    b"\x28\xb5\x2f\xfd",
                    lambda part: pa.input_stream(pa.py_buffer(part), compression="zstd").read(),
                ),
            ):
                start = data.find(magic)
                while start >= 0:
                    with suppress(zlib.error, lzma.LZMAError, OSError):  # it was none
                        found.append(decompress(data[start:]))
                    start = data.find(magic, start + 1)
    return found


async def test_clear_values_are_nowhere_in_the_targets_files(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    source = await new_database(
        SCHEMA,
        *(f'[{{:p/email "{n}@x" :p/secret "{value}"}}]' for n, value in enumerate(SECRETS)),
        *(f'[{{:p/email "h{n}@x" :p/city "{value}"}}]' for n, value in enumerate(HASHED * 2)),
        f'[{{:p/email "h0@x" :p/city "{HASHED[1]}"}}]',
        f'[[:db/retract [:p/email "h0@x"] :p/city "{HASHED[1]}"]]',
    )
    options: dict[str, Any] = {
        "exclude": ["p/secret"], "rewrite": {"p/city": "hash"}, "rewrite_key": KEY,
    }  # fmt: skip
    async with open_connector() as own:  # which lets go of the files at its end
        for name, wanted in (("plain", {}), ("filtered", options)):
            uri = f"datomic:local://system/copy?storage-dir={tmp_path / name}"
            target = await own.open(uri, create=True)
            await restore(source, target, **wanted)
            assert (await verify(source, against=target, **wanted)).problems == []
        cities = [row[0] for row in await target.query("[:find ?c ?e :where [?e :p/city ?c]]")]

    plain, filtered = [await to_thread.run_sync(contents, tmp_path / name) for name in ("plain", "filtered")]
    words = [value.encode() for value in (*SECRETS, *HASHED)]
    assert all(any(word in data for data in plain) for word in words), "the search finds clear values"
    assert not any(word in data for data in filtered for word in (*words, KEY))
    assert any(cities[0].encode() in data for data in filtered)
    # Of the four entities two pairs had one city each; one of them has none any more.
    assert sorted(cities.count(city) for city in set(cities)) == [1, 2]
