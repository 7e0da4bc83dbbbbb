"""A segment that is protected otherwise than the others is one problem, not the end of the command."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import AsyncRestoreError, NotAuthorized, OtherKey, Unprotected
from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.info import BackupInfo, StoreInfo, info
from asyncrestore.jobs.query import query
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.encrypted import encrypted
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from tests.support import small_backup
from tests.support.damage import LINEAGE, NAME, Objects, store_of
from tests.support.small_backup import RANGES

if TYPE_CHECKING:
    from asyncrestore.stores.base import Store
    from asyncrestore.stores.encrypted import Encryption

pytestmark = pytest.mark.anyio

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SIGNING, OTHER_SIGNING = SigningKey(KEY), SigningKey(OTHER)
PLAIN = {
    **{range_.key: small_backup.segment(range_, lineage=LINEAGE) for range_ in RANGES},
    BACKUP_JSON: LINEAGE.to_json(),
}
FIRST, MIDDLE, NEWEST = (range_.key for range_ in RANGES)
SEGMENTS = {FIRST, MIDDLE, NEWEST}


async def protected(encryption: Encryption | None) -> Objects:
    """The small backup's objects, encrypted or signed."""
    store = MemoryStore()
    async with encrypted(store, encryption) as opened:
        for key, data in PLAIN.items():
            await opened.publish(NAME, key, data)
    return {key: await store.read(NAME, key) for key in PLAIN}


def claims_another_key() -> bytes:
    """An object whose header says that it is encrypted; whoever has no key at all can make it."""
    data = b"asyncrestore encrypted 2\n" + bytes(2) + b"some key" + b"no content"
    return data + hashlib.sha256(data).digest()


async def info_of(store: Store, encryption: Encryption | None) -> BackupInfo:
    found = await info(store, encryption=encryption)
    assert isinstance(found, StoreInfo)
    return found.backups[0]


MIXED = [
    pytest.param(KEY, OTHER, OtherKey, id="encrypted, one by another key"),
    pytest.param(KEY, None, Unprotected, id="encrypted, one plain"),
    pytest.param(SIGNING, OTHER_SIGNING, OtherKey, id="signed, one by another key"),
    pytest.param(SIGNING, None, Unprotected, id="signed, one not"),
    pytest.param(SIGNING, KEY, OtherKey, id="signed, one encrypted"),
    pytest.param(None, KEY, OtherKey, id="plain, one encrypted"),
]


@pytest.mark.parametrize(("encryption", "other", "kind"), MIXED)
@pytest.mark.parametrize("key", [FIRST, MIDDLE, NEWEST])
async def test_one_segment(
    encryption: Encryption | None, other: Encryption | None, kind: type[AsyncRestoreError], key: str
) -> None:
    store = await store_of({**await protected(encryption), key: (await protected(other))[key]})
    report = await verify(store, encryption=encryption)
    assert (report.problem_count, f"{NAME}/{key}: it is " in report.problems[0]) == (1, True), report.problems
    rest = [small_backup.log(each.start, each.end) for each in RANGES if each.key != key]
    assert report.transactions == sum(len(log.txs()) for log in rest)
    assert (f"{key}: it is " in (await info_of(store, encryption)).problem) == (key != MIDDLE)
    async with encrypted(store, encryption) as opened:
        for refusing in (
            _read(opened),
            query(opened, "FROM datoms"),
            compact(opened),
            delete(opened, NAME, superseded=True),
            *([copy(opened, MemoryStore())] if kind is OtherKey else []),
        ):
            with pytest.raises(kind, match=f"{NAME}/{key}: it is ") as raised:
                await refusing
            assert "repair with the source" in raised.value.hint
            assert raised.value.exit_code == (12 if kind is OtherKey else 13)


async def _read(store: Store) -> None:
    history = await StoredHistory.open(store, None)
    for part in history.parts(0):
        async for _ in await history.load(part):
            pass


@pytest.mark.parametrize(("encryption", "other", "kind"), MIXED)
async def test_none_that_can_be_read(
    encryption: Encryption | None, other: Encryption | None, kind: type[AsyncRestoreError]
) -> None:
    """The key is wrong, or one is missing: that is no damage."""
    store = await store_of(await protected(other))
    for refusing in (verify(store, encryption=encryption), info(store, encryption=encryption)):
        with pytest.raises(kind, match=r"\.parquet: it is "):
            await refusing


async def test_one_object_that_the_key_protects_shows_that_it_is_right() -> None:
    """Nobody else can make one, and anybody can add as many others as they like."""
    for encryption, other in ((KEY, OTHER), (SIGNING, None)):
        ours, theirs = await protected(encryption), await protected(other)
        for right in ours:
            report = await verify(await store_of({**theirs, right: ours[right]}), encryption=encryption)
            assert report.problem_count == len(SEGMENTS - {right})


async def test_a_forgotten_key_and_a_planted_segment() -> None:
    """Without a key anybody can make what is readable: repair would go on to write in clear."""
    secret = await protected(KEY)
    for planted in (BACKUP_JSON, FIRST, NEWEST):
        store = await store_of({**secret, planted: PLAIN[planted]})
        for refusing in (verify(store), info(store)):
            with pytest.raises(NotAuthorized, match="no key was given"):
                await refusing


async def test_an_object_that_claims_another_key() -> None:
    for encryption in (None, KEY, SIGNING):
        objects = await protected(encryption)
        for key in (MIDDLE, MIDDLE.replace(".parquet", ".1.parquet"), "0000000000005-0000000000015.parquet"):
            store = await store_of({**objects, key: claims_another_key()})
            [problem] = (await verify(store, encryption=encryption)).problems
            assert f"{NAME}/{key}: it is encrypted" in problem


async def test_the_other_objects_of_a_backup() -> None:
    for encryption, other in ((None, KEY), (KEY, OTHER), (SIGNING, None), (SIGNING, OTHER_SIGNING)):
        note = (await protected(other))[BACKUP_JSON]
        store = await store_of({**await protected(encryption), BACKUP_JSON: note, f"{MIDDLE}.aside": note})
        report = await verify(store, encryption=encryption)
        assert report.problems == ["no segment holds t 10 to 19 (the middle)"]
        if encryption or other:
            assert f"{BACKUP_JSON} cannot be used, and nobody needs it to read: " in report.notes[0]
        assert report.notes[1].startswith(f"{MIDDLE} was put aside: ")
