"""Encrypted stores: everything works as without, nothing is read without the key, mixing is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncrestore.errors import (
    Conflict,
    NotAuthorized,
    SegmentDamaged,
    UsageError,
)
from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.query import query
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores import open_store
from asyncrestore.stores.encrypted import EncryptedStore, encrypted
from asyncrestore.stores.keys import KmsKey, open_keys
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from tests.histories import ODD
from tests.support.damage import NAME, begin, load, store_of

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.stores.encrypted import Encryption
    from tests.support.databases import NewDatabase
    from tests.support.s3 import Bucket

pytestmark = pytest.mark.anyio

KEY, OTHER = os.urandom(32), os.urandom(32)
SIZE = 5


@pytest.fixture(scope="module")
async def source(shared_database: NewDatabase) -> BridgeDatabase:
    return await shared_database(*ODD, '[{:p/email "secret-address@example.com"}]')


@pytest.fixture
async def store(source: BridgeDatabase) -> MemoryStore:
    """An encrypted backup."""
    made = MemoryStore()
    await begin(made, encryption=KEY)
    await backup(source, made, name=NAME, segment_size=SIZE, encryption=KEY)
    return made


@pytest.fixture
async def plain(source: BridgeDatabase) -> MemoryStore:
    """The same, not encrypted."""
    made = MemoryStore()
    await begin(made)
    await backup(source, made, name=NAME, segment_size=SIZE)
    return made


@pytest.fixture
def encryption(request: pytest.FixtureRequest) -> Encryption:
    key: Encryption = KEY if request.param == "key" else request.getfixturevalue("kms_key")
    return key


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "directory":
        return str(tmp_path / "store")
    bucket: Bucket = request.getfixturevalue("moto_bucket")
    return bucket.uri()


@pytest.mark.parametrize(
    ("place", "encryption"), [("directory", "key"), ("s3", "key"), ("directory", "kms")], indirect=True
)
async def test_everything_works(
    source: BridgeDatabase, new_database: NewDatabase, place: str, encryption: Encryption, tmp_path: Path
) -> None:
    target, spare = await new_database(), str(tmp_path / "spare")

    made = await backup(source, place, name=NAME, segment_size=SIZE, encryption=encryption)
    again = await backup(source, place, name=NAME, segment_size=SIZE, encryption=encryption)
    assert (len(made.segments) > 3, again.segments) == (True, [])
    assert (await verify(place, encryption=encryption, live=source)).problems == []
    found = await info(place, encryption=encryption)
    assert isinstance(found, StoreInfo)
    assert (found.backups[0].problem, found.backups[0].source_name) == ("", source.name)
    await restore(place, target, segments=2, encryption=encryption)
    await restore(place, target, encryption=encryption)
    assert (await verify(place, against=target, encryption=encryption)).problems == []
    assert (await verify(source, against=target)).problems == []
    rows = await query(
        place,
        "SELECT value FROM datoms WHERE attribute = 'p/email' AND value LIKE 'secret%'",
        encryption=encryption,
    )
    assert rows.to_pylist() == [{"value": "secret-address@example.com"}]

    merged = await compact(place, encryption=encryption)
    assert len(merged.segments) == 1
    await delete(place, NAME, superseded=True, confirmed=True, encryption=encryption)
    assert (await verify(place, encryption=encryption, live=source)).problems == []
    copied = await copy(place, spare, encryption=encryption)
    assert copied.ok
    assert (await verify(spare, encryption=encryption, live=source)).problems == []
    await delete(spare, NAME, confirmed=True)  # deleting all reads nothing
    assert not Path(spare, NAME).exists()


async def test_on_s3(source: BridgeDatabase, new_database: NewDatabase, bucket: Bucket) -> None:
    target, reports = await new_database(), list[Any]()

    async def run() -> None:
        reports.append(await backup(source, bucket.uri(), name=NAME, segment_size=SIZE, encryption=KEY))

    async with open_store(bucket.uri()) as opened:
        await begin(opened, encryption=KEY)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        tasks.start_soon(run)
    assert (await verify(bucket.uri(), encryption=KEY, live=source)).problems == []
    await restore(bucket.uri(), target, encryption=KEY)
    assert (await verify(source, against=target)).problems == []
    with pytest.raises(NotAuthorized, match=r"\.parquet: it is encrypted"):
        await verify(bucket.uri())
    one = MemoryStore()
    await begin(one, encryption=KEY)
    await backup(source, one, name=NAME, segment_size=SIZE, encryption=KEY)
    keys = [key for key in bucket.all_keys() if key.endswith(".parquet")]
    assert {key.rpartition("/")[2]: bucket.get(key) for key in keys} == await load(one), "byte for byte"
    assert sorted(each.key for report in reports for each in report.segments) == sorted(await load(one))


async def test_nothing_of_the_data_is_in_the_files(source: BridgeDatabase, tmp_path: Path) -> None:
    texts = [
        b"secret-address",
        b"p/email",
        b"asyncrestore.sha256",
        b"PAR1",
        source.name.encode(),
        b'"datoms"',
    ]
    for place, encryption in ((tmp_path / "plain", None), (tmp_path / "encrypted", KEY)):
        await backup(source, str(place), name="other", segment_size=SIZE, encryption=encryption)
        first = min((place / "other").iterdir())
        first.write_bytes(first.read_bytes()[:-1])
        report = await repair(source, str(place), name="other", segment_size=SIZE, encryption=encryption)
        assert report.ok
        files = [path.read_bytes() for path in place.rglob("*") if path.is_file()]
        if encryption is None:  # only to see that the search finds what is there
            assert sum(any(text in data for text in texts[1:]) for data in files) >= len(files) - 2
        else:
            assert not any(text in data for text in texts for data in files)
            assert all(data.startswith(b"asyncrestore encrypted 2\n") for data in files)
            assert not any(KEY in data or KEY.hex().encode() in data for data in files)


async def test_two_at_once_end_in_what_one_makes(source: BridgeDatabase, store: MemoryStore) -> None:
    wanted = await load(store)
    for _ in range(10):
        both, reports = MemoryStore(), list[Any]()
        await begin(both, encryption=KEY)

        async def run(both: MemoryStore = both, reports: list[Any] = reports) -> None:
            reports.append(await backup(source, both, name=NAME, segment_size=SIZE, encryption=KEY))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            tasks.start_soon(run)
        assert await load(both) == wanted, "byte for byte"
        assert sorted(each.key for report in reports for each in report.segments) == sorted(wanted)


async def test_two_at_once_with_a_key_service(
    source: BridgeDatabase, new_database: NewDatabase, kms_key: KmsKey
) -> None:
    """Each has a key of its own; what they wrote is the same once it is decrypted."""
    both, target = MemoryStore(), await new_database()
    reports: list[Any] = []

    async def run() -> None:
        reports.append(await backup(source, both, name=NAME, segment_size=SIZE, encryption=kms_key))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        tasks.start_soon(run)
    assert sorted(each.key for report in reports for each in report.segments) == sorted(await load(both))
    assert (await verify(both, encryption=kms_key, live=source)).problems == []
    await restore(both, target, encryption=kms_key)
    assert (await verify(source, against=target)).problems == []


def jobs(source: BridgeDatabase, store: MemoryStore, target: BridgeDatabase) -> dict[str, Any]:
    """All that reads a store."""
    return {
        "backup": lambda **key: backup(source, store, name=NAME, segment_size=3, **key),
        "restore": lambda **key: restore(store, target, **key),
        "verify": lambda **key: verify(store, **key),
        "info": lambda **key: info(store, **key),
        "query": lambda **key: query(store, "FROM datoms", **key),
        "repair": lambda **key: repair(source, store, name=NAME, **key),
        "compact": lambda **key: compact(store, **key),
        "copy": lambda **key: copy(store, MemoryStore(), **key),
        "delete": lambda **key: delete(store, NAME, superseded=True, confirmed=True, **key),
    }


@pytest.mark.parametrize("key", [{}, {"encryption": OTHER}], ids=["no key", "another key"])
async def test_the_wrong_key(
    source: BridgeDatabase, new_database: NewDatabase, store: MemoryStore, key: dict[str, bytes]
) -> None:
    before, target = await load(store), await new_database()
    for name, job in jobs(source, store, target).items():
        with pytest.raises(NotAuthorized, match=r"memory:/db/\d+-\d+.parquet: it is encrypted") as raised:
            await job(**key)
        assert raised.value.exit_code == 12, name
        assert "Give the key" in raised.value.hint
        assert OTHER.hex() not in str(raised.value)
        assert await load(store) == before, name


async def test_a_key_for_a_store_that_is_not_encrypted(
    source: BridgeDatabase, new_database: NewDatabase, plain: MemoryStore
) -> None:
    before, target = await load(plain), await new_database()
    for name, job in jobs(source, plain, target).items():
        if name == "copy":
            continue
        with pytest.raises(Conflict, match=r"memory:/db/\d+-\d+.parquet: it is not encrypted"):
            await job(encryption=KEY)
        assert await load(plain) == before, name


async def test_a_mixed_store_is_refused_and_mended_by_a_copy(store: MemoryStore, plain: MemoryStore) -> None:
    """Two first backups at once, one of them without the key, could make such."""
    secret, clear = await load(store), await load(plain)
    middle = sorted(clear)[1]
    mixed = await store_of({**secret, middle: clear[middle]})

    [problem] = (await verify(mixed, encryption=KEY)).problems
    assert f"{middle}: it is not encrypted" in problem
    with pytest.raises(Conflict, match=f"{middle}: it is not encrypted"):
        await query(mixed, "FROM datoms", encryption=KEY)
    with pytest.raises(NotAuthorized, match="it is encrypted"):
        await verify(mixed)
    copied = MemoryStore()
    report = await copy(mixed, copied, encryption=KEY)
    assert report.ok
    assert report.verified is not None
    assert f"may have made it: {NAME}/{middle}" in report.verified.notes[0]
    assert await load(copied) == secret


async def test_copies(store: MemoryStore, plain: MemoryStore, source: BridgeDatabase, tmp_path: Path) -> None:
    secret, clear = await load(store), await load(plain)
    for origin, options, wanted in (
        (store, {"encryption": KEY}, secret),
        (plain, {"encryption": KEY}, secret),
        (store, {"encryption": KEY, "decrypt": True}, clear),
        (plain, {}, clear),
    ):
        copied = MemoryStore()
        assert (await copy(origin, copied, **options)).ok
        assert await load(copied) == wanted
    with pytest.raises(UsageError, match="needs the key"):
        await copy(store, MemoryStore(), decrypt=True)
    async with (
        open_keys(KEY) as keys,
        open_store(str(tmp_path), encryption=OTHER) as rekeyed,
    ):
        assert (await copy(EncryptedStore(store, keys), rekeyed)).ok
    assert (await verify(str(tmp_path), encryption=OTHER, live=source)).problems == []


async def test_files_copied_by_other_tools_need_no_key(store: MemoryStore, source: BridgeDatabase) -> None:
    copied = await store_of(await load(store))
    assert (await verify(copied, encryption=KEY, live=source)).problems == []


async def test_damage_is_damage_with_and_without_the_key(source: BridgeDatabase, store: MemoryStore) -> None:
    sound = await load(store)
    key = sorted(sound)[1]
    middle = len(sound[key]) // 2
    for wrong in (
        sound[key][:middle],
        sound[key][:10],
        b"",
        sound[key] + b"\0",
        sound[key][:middle] + b"\0\0" + sound[key][middle + 2 :],
        b"x" + sound[key][1:],
    ):
        damaged = await store_of({**sound, key: wrong})
        report = await verify(damaged, encryption=KEY)
        assert [key in problem for problem in report.problems] == [True], report.problems
        assert "is damaged" in report.problems[0]
        only = await store_of({key: wrong})
        assert "is damaged" in (await verify(only)).problems[-1], "whoever has no key sees it too"
        mended = await repair(source, damaged, name=NAME, segment_size=SIZE, encryption=KEY)
        assert mended.ok
        assert [each.key for each in mended.aside] == [key]
        generation = key.removesuffix(".parquet") + ".1.parquet"
        async with encrypted(damaged, KEY) as opened, encrypted(store, KEY) as whole:
            assert await opened.read(NAME, generation) == await whole.read(NAME, key)


async def test_exchanged_segments_are_found(store: MemoryStore) -> None:
    sound = await load(store)
    one, other, *_ = sorted(sound)
    report = await verify(await store_of({**sound, one: sound[other], other: sound[one]}), encryption=KEY)
    assert len(report.problems) == 2
    assert f"not for this place (db/{one})" in report.problems[0]


async def test_a_forged_segment_is_not_restored(
    source: BridgeDatabase, new_database: NewDatabase, store: MemoryStore, plain: MemoryStore
) -> None:
    """Whoever can write to the store, and has no key, can make nothing that is restored."""
    sound, key = await load(store), min(await load(store))
    for forged in (
        (await load(plain))[key],
        (await load(await _with(OTHER, source)))[key],
    ):
        target = await new_database()
        with pytest.raises((NotAuthorized, Conflict, SegmentDamaged)):
            await restore(await store_of({**sound, key: forged}), target, encryption=KEY)
        assert (await info(target)).last_instant is None  # type: ignore[union-attr]


async def _with(key: Encryption | None, source: BridgeDatabase, *, size: int = SIZE) -> MemoryStore:
    store = MemoryStore()
    await begin(store, encryption=key)
    await backup(source, store, name=NAME, segment_size=size, encryption=key)
    return store


@pytest.mark.parametrize(
    ("encryption", "other", "numbers"),
    [
        pytest.param(KEY, OTHER, [0], id="one by another key"),
        pytest.param(KEY, None, [-1], id="one plain"),
        pytest.param(KEY, OTHER, [0, 1, 2], id="keys changed by hand"),
        pytest.param(SigningKey(KEY), SigningKey(OTHER), [1], id="signed by another key"),
        pytest.param(SigningKey(KEY), None, [0, -1], id="not signed"),
        pytest.param(None, KEY, [1], id="encrypted, where no key is used"),
    ],
)
async def test_what_is_protected_otherwise_is_repaired(
    source: BridgeDatabase, encryption: Encryption | None, other: Encryption | None, numbers: list[int]
) -> None:
    """It is put aside and read again, whoever made it; it stays where it was."""
    sound, strange = [await load(await _with(each, source)) for each in (encryption, other)]
    laid = {key: strange[key] for key in [sorted(sound)[number] for number in numbers]}
    assert len(sound) > len(numbers)
    store = await store_of({**sound, **laid})
    report = await repair(source, store, name=NAME, segment_size=SIZE, encryption=encryption)
    assert (report.verified.problems, {each.key for each in report.aside}) == ([], set(laid))
    assert all(("keep it" in each.reason) == (other is not None) for each in report.aside)
    after = await load(store)
    assert {key: after[key] for key in sound} == {**sound, **laid}
    assert (await verify(store, encryption=encryption, live=source)).problems == []
    await delete(store, NAME, superseded=True, confirmed=True, encryption=encryption)
    assert not (await load(store)).keys() & laid.keys()
    assert (await verify(store, encryption=encryption, live=source)).problems == []


async def test_a_backup_of_one_segment_is_repaired_as_well(source: BridgeDatabase) -> None:
    """`backup.json` shows that the key is the right one, where no segment is left to show it."""
    store = MemoryStore()
    await begin(store, encryption=KEY)
    await backup(source, store, name=NAME, encryption=KEY)
    [key] = await load(store)
    await store.delete(NAME, key)
    await store.publish(NAME, key, (await load(await _with(OTHER, source, size=10_000)))[key])
    with pytest.raises(NotAuthorized, match=f"{key}: it is encrypted"):
        await repair(source, store, name=NAME)
    report = await repair(source, store, name=NAME, encryption=KEY)
    assert (report.verified.problems, [each.key for each in report.aside]) == ([], [key])


async def test_a_forgotten_key_and_a_planted_segment(source: BridgeDatabase, store: MemoryStore) -> None:
    """Anybody can make what is readable without a key; nothing must be written in clear because of it."""
    sound, plain = await load(store), await load(await _with(None, source))
    for planted in ([0], [-1], range(len(sound) // 2)):
        laid = await store_of({**sound, **{key: plain[key] for key in [sorted(sound)[n] for n in planted]}})
        before = await load(laid)
        with pytest.raises(NotAuthorized, match="no key was given"):
            await repair(source, laid, name=NAME, segment_size=SIZE)
        assert await load(laid) == before

    *_, planted_last, newest = sorted(sound)
    laid = await store_of(
        {**sound, planted_last: plain[planted_last], BACKUP_JSON: await store.read(NAME, BACKUP_JSON)}
    )
    await laid.delete(NAME, newest)
    before = await load(laid)
    with pytest.raises(NotAuthorized, match=f"{BACKUP_JSON}: it is encrypted") as raised:
        await backup(source, laid, name=NAME, segment_size=SIZE)
    assert "Give the key" in raised.value.hint
    assert "Delete it" in raised.value.hint
    assert await load(laid) == before


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"x" * 33])
async def test_what_is_no_key(source: BridgeDatabase, key: bytes) -> None:
    with pytest.raises(UsageError, match="not 32"):
        await backup(source, MemoryStore(), encryption=key)
