"""AWS KMS: called no more than needed, and what it refuses is reported."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from asyncrestore.errors import AsyncRestoreError, NotAuthorized, OtherKey, Unavailable, UsageError
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.cipher import Cipher, Header, read_header
from asyncrestore.stores.keys import KEPT, KmsKey, WrappedKeys, open_keys
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.s3.errors import Action, s3_errors
from asyncrestore.stores.s3.kms import KeyService
from tests.histories import PEOPLE, SCHEMA
from tests.support.damage import NAME, load

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

KEY = os.urandom(32)


@pytest.fixture
async def source(new_database: NewDatabase) -> BridgeDatabase:
    return await new_database(SCHEMA, *PEOPLE)


async def test_the_service_is_asked_once_for_each_key(
    new_database: NewDatabase, kms_key: KmsKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = KeyService._ask

    async def ask(self: KeyService, action: Any, request: Any) -> Any:
        asked.append(action.permission)
        return await original(self, action, request)

    monkeypatch.setattr(KeyService, "_ask", ask)
    source, store = await new_database(SCHEMA, *PEOPLE), MemoryStore()
    for number in range(2):
        await source.transact_edn([f'[{{:p/email "{number}@later"}}]'])
        await backup(source, store, name=NAME, segment_size=2, encryption=kms_key)
    assert asked == ["kms:GenerateDataKey", "kms:Decrypt", "kms:GenerateDataKey"]
    asked.clear()
    assert (await verify(store, encryption=kms_key, live=source)).problems == []
    assert asked == ["kms:Decrypt"] * 2, "one for each of the runs that wrote"


async def test_the_keys_of_very_many_runs_are_not_all_kept() -> None:
    class Service:
        async def unwrap(self, wrapped: bytes, _context: dict[str, str]) -> bytes:
            return wrapped.rjust(32, b"\0")

    keys = WrappedKeys(Service())
    for number in range(1000):
        await keys.for_reading(Header(b"", b"%d" % number, 0, knows_place=True), NAME)
    assert len(keys.reading) == KEPT


async def test_a_key_is_unwrapped_for_the_backup_that_it_was_made_for(kms: Any, kms_key: KmsKey) -> None:
    async with open_keys(kms_key) as keys:
        music, other = [await keys.for_writing(name) for name in ("music", "other")]
        assert await keys.for_writing("music") is music
    headers = [read_header(each.encrypt(b"content", "music", "1")) for each in (music, other)]
    # Older versions bound a key to nothing.
    made = kms.generate_data_key(KeyId=kms_key.id, NumberOfBytes=32)
    old = Header(b"", made["CiphertextBlob"], 0, knows_place=False)
    async with open_keys(kms_key) as keys:
        for header, name in zip(headers, ("music", "other"), strict=True):
            assert header is not None
            assert (await keys.for_reading(header, name)).key_id == header.key_id
            with pytest.raises(NotAuthorized, match="unwrapping a key failed"):
                await keys.for_reading(header, "third")
        assert (await keys.for_reading(old, "music")).key_id == Cipher(made["Plaintext"]).key_id


async def test_keys_that_do_not_fit(source: BridgeDatabase, kms: Any, kms_key: KmsKey) -> None:
    store, wrapped = MemoryStore(), MemoryStore()
    await backup(source, store, name=NAME, encryption=KEY)
    await backup(source, wrapped, name=NAME, encryption=kms_key)
    other = KmsKey(kms.create_key()["KeyMetadata"]["Arn"])
    for asked, key, hint in (
        (wrapped, None, "Give the key"),
        (wrapped, KEY, "`KmsKey`"),
        (wrapped, other, "kms:Decrypt for the key that wrapped it"),
        (wrapped, KmsKey("alias/none"), "Check the key's id, region and state"),
        (store, kms_key, "`encryption`"),
    ):
        with pytest.raises(NotAuthorized, match=r"\.parquet") as raised:
            await verify(asked, encryption=key)
        assert hint in raised.value.hint
    empty = MemoryStore()
    with pytest.raises(NotAuthorized, match="making a key failed") as missing:
        await backup(source, empty, name=NAME, encryption=KmsKey("alias/none"))
    assert "Check the key's id" in missing.value.hint
    assert await empty.names() == []


async def test_a_wrapped_key_that_the_service_does_not_know(
    source: BridgeDatabase, kms_key: KmsKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One problem for each such segment, and one request for all that have the same wrapped key."""
    store = MemoryStore()
    await backup(source, store, name=NAME, segment_size=3, encryption=kms_key)
    first, second, *rest = await load(store)
    assert rest
    asked: list[bytes] = []
    original = KeyService.unwrap

    async def unwrap(self: KeyService, wrapped: bytes, context: Any) -> bytes:
        asked.append(wrapped)
        return await original(self, wrapped, context)

    monkeypatch.setattr(KeyService, "unwrap", unwrap)
    for wrapped in (b"unknown", bytes(65_535)):
        asked.clear()
        data = Cipher(KEY, wrapped).encrypt(b"content", NAME, first)
        for key in (first, second):
            await store.delete(NAME, key)
            await store.publish(NAME, key, data)
        report = await verify(store, encryption=kms_key)
        assert [key in problem for key, problem in zip((first, second), report.problems, strict=True)] == [
            True
        ] * 2
        assert asked.count(wrapped) == 1
    repaired = await repair(source, store, name=NAME, segment_size=3, encryption=kms_key)
    assert (repaired.verified.problems, [each.key for each in repaired.aside]) == ([], [first, second])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("IncorrectKeyException", OtherKey),
        ("InvalidCiphertextException", OtherKey),
        ("AccessDeniedException", NotAuthorized),
        ("KMSInvalidStateException", NotAuthorized),
        ("ThrottlingException", Unavailable),
        ("KeyUnavailableException", Unavailable),
        ("ExpiredTokenException", NotAuthorized),
    ],
)
def test_the_service_s_errors(code: str, kind: type[AsyncRestoreError]) -> None:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    with (
        pytest.raises(kind, match=f"KMS key x: unwrapping failed: 400 {code}") as raised,
        s3_errors(Action("unwrapping", "kms:Decrypt"), "KMS key x"),
    ):
        raise ClientError(answer, "Decrypt")
    assert type(raised.value) is kind, "no permission is not another key"


async def test_an_alias_and_a_region_in_an_arn(
    source: BridgeDatabase, kms: Any, aws: pytest.MonkeyPatch, kms_key: KmsKey
) -> None:
    kms.create_alias(AliasName="alias/backups", TargetKeyId=kms_key.id)
    store = MemoryStore()
    await backup(source, store, name=NAME, encryption=KmsKey("alias/backups"))
    aws.delenv("AWS_DEFAULT_REGION")
    assert (await verify(store, encryption=kms_key)).ok, "the ARN names the region"
    with pytest.raises(UsageError, match="region"):
        await verify(store, encryption=dataclasses.replace(kms_key, id="alias/backups"))
