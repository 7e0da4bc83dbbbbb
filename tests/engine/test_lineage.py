"""Two lines of one database, and their backups: a segment of one is never taken for the other's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import AsyncRestoreError, Conflict, NotAuthorized, SegmentGap
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.info import DatabaseInfo, info
from asyncrestore.jobs.query import query
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from tests.support.damage import NAME, Objects, load, store_of
from tests.support.databases import EndingAt

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
SIZE = 5
SCHEMA = (
    "[{:db/ident :p/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}"
    ' [:db/add "datomic.tx" :db/txInstant #inst "2024-01-01"]]'
)


NAMES = tuple(f'[{{:p/name "{name}"}}]' for name in ("Ann", "Bob", "Eve", "Joe"))


@dataclass
class Lines:
    """Two databases that began as one, and their backups.

    Attributes:
        one: a database.
        two: the other.
        ours: the one's backup.
        theirs: the other's, with the same id: as if a copy of the one's had been continued.
        anew: the other's, with an id of its own.
    """

    one: BridgeDatabase
    two: BridgeDatabase
    ours: Objects
    theirs: Objects
    anew: Objects


@pytest.fixture(scope="module")
async def lines(connector: Connector, tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """The same name and the same first transaction: one identity. They part at t 8."""
    databases = []
    for line in ("one", "two"):
        storage = tmp_path_factory.mktemp(line)
        database = await connector.open(f"datomic:local://lines/db?storage-dir={storage}", create=True)
        people = [
            f'[{{:db/id {96757023244300 + n} :p/name "{n} {"" if n < 2 else line}"}}'
            f' [:db/add "datomic.tx" :db/txInstant #inst "2024-01-{n + 2:02}"]]'
            for n in range(12)
        ]
        await database.transact_edn([SCHEMA, *people])
        databases.append(database)
    one, two = databases
    ours, theirs, anew = MemoryStore(), MemoryStore(), MemoryStore()
    await backup(one, ours, name=NAME, segment_size=SIZE)
    card = [each.key for each in await ours.list(NAME) if each.key.endswith(".json")]
    await theirs.publish(NAME, card[0], await ours.read(NAME, card[0]))
    await backup(two, theirs, name=NAME, segment_size=SIZE)
    await backup(two, anew, name=NAME, segment_size=SIZE)
    return Lines(one, two, await load(ours), await load(theirs), await load(anew))


READING = ["verify", "verify live", "restore", "query"]


async def run(name: str, store: Store, lines: Lines, target: BridgeDatabase, key: Encryption | None) -> None:
    match name:
        case "verify":
            (await verify(store, encryption=key)).raise_for_problems()
        case "verify live":
            (await verify(store, live=lines.one, encryption=key)).raise_for_problems()
        case "restore":
            await restore(store, target, encryption=key)
        case "query":
            await query(store, "FROM datoms", encryption=key)
        case _:
            await backup(lines.one, store, name=NAME, segment_size=SIZE, encryption=key)


async def refused_by(
    lines: Lines, objects: Objects, target: BridgeDatabase, key: Encryption | None = None
) -> list[str]:
    """Which commands refuse a store with these objects."""
    refused = []
    for name in (*READING, "backup"):
        try:
            await run(name, await store_of(objects), lines, target, key)
        except AsyncRestoreError:
            refused.append(name)
    return refused


@pytest.mark.parametrize("number", [0, 1, 2, 3])
async def test_a_segment_of_the_other_line(lines: Lines, new_database: NewDatabase, number: int) -> None:
    key = sorted(lines.ours)[number]
    for other, same_id in ((lines.theirs, True), (lines.anew, False)):
        laid = {**lines.ours, key: other[key]}
        store, refused = await store_of(laid), await refused_by(lines, laid, await new_database())
        if number == 0 and same_id:  # both have the same transactions there
            assert refused == []
            continue
        assert refused[:4] == READING
        if number == 3:
            assert refused[4:] == ["backup"]
        if number == 3 and same_id:
            with pytest.raises(Conflict, match="have diverged"):  # nothing shows which of the two is right
                await repair(lines.one, store, name=NAME, segment_size=SIZE)
            continue
        repaired = await repair(lines.one, store, name=NAME, segment_size=SIZE)
        assert (repaired.verified.problems, [each.key for each in repaired.aside]) == ([], [key])
        assert (await verify(store, live=lines.one)).problems == []


@pytest.mark.parametrize("encryption", [KEY, SigningKey(KEY)], ids=["encrypted", "signed"])
async def test_one_key_and_one_name_for_both(
    lines: Lines, new_database: NewDatabase, encryption: Encryption
) -> None:
    ours, theirs = MemoryStore(), MemoryStore()
    for database, store in ((lines.one, ours), (lines.two, theirs)):
        await backup(database, store, name=NAME, segment_size=SIZE, encryption=encryption)
    await backup(lines.two, theirs, name="other", segment_size=SIZE, encryption=encryption)
    again = await backup(lines.one, ours, name=NAME, segment_size=SIZE, encryption=encryption)
    assert again.segments == []
    sound, keys = await load(ours), sorted(await load(ours))
    for key in (keys[0], keys[1], keys[-1]):
        for name in (NAME, "other"):
            laid = {**sound, key: await theirs.read(name, key)}
            refused = await refused_by(lines, laid, await new_database(), encryption)
            assert refused[:4] == READING
            if key == keys[-1]:
                assert refused[4:] == ["backup"]

    for store in (ours, theirs):
        await compact(store, name=NAME, encryption=encryption)
    [merged] = (await load(ours)).keys() - sound.keys()
    laid = {merged: await theirs.read(NAME, merged), "backup.json": await ours.read(NAME, "backup.json")}
    assert await refused_by(lines, laid, await new_database(), encryption) == [*READING, "backup"]


async def test_without_its_key_nothing_is_added_to_a_signed_backup(new_database: NewDatabase) -> None:
    source, store, key = await new_database(SCHEMA, *NAMES), MemoryStore(), SigningKey(bytes(32))
    await backup(EndingAt(source, await source.basis_t() - 3), store, name=NAME, encryption=key)
    before = await load(store)
    for job in (backup, repair):
        with pytest.raises(NotAuthorized, match="is signed, and no key was given"):
            await job(source, store, name=NAME)
    assert await load(store) == before
    assert (await backup(source, store, name=NAME, encryption=key)).transactions == 3


async def test_a_dropped_tail_is_refused_before_anything_is_written(
    lines: Lines, new_database: NewDatabase
) -> None:
    target = await new_database()
    end = (await backup(lines.one, await store_of(lines.ours), name=NAME)).end
    short = await store_of({key: data for key, data in lines.ours.items() if key != max(lines.ours)})
    with pytest.raises(SegmentGap, match=f"before t {end - 1}"):
        await restore(short, target, expect_t=end - 1)
    with pytest.raises(SegmentGap, match=f"before t {end}"):
        await verify(lines.one, against=target, expect_t=end)
    found = await info(target)
    assert isinstance(found, DatabaseInfo)
    assert found.restored_from is None
    assert (await restore(await store_of(lines.ours), target, expect_t=end - 1)).last_t == end - 1


async def test_both_lines_cannot_be_one_backup(lines: Lines) -> None:
    with pytest.raises(Conflict, match="have diverged"):
        await backup(lines.two, await store_of(lines.ours), name=NAME)
