"""Settings of a store on S3 from its URI and the environment: credentials, profiles, how objects are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import NotAuthorized, UsageError
from asyncrestore.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.s3 import Bucket

pytestmark = pytest.mark.anyio

CONTENT = b"a segment's content"
KEY = "backups/db/1.parquet"


async def test_no_credentials(moto_bucket: Bucket, aws: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    async with open_store(moto_bucket.uri()) as store:
        with pytest.raises(NotAuthorized, match="credentials") as raised:
            await store.names()
    assert "AWS_PROFILE" in raised.value.hint


async def test_profile(moto_bucket: Bucket, aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody"):
        async with open_store(moto_bucket.uri(profile="nobody")):
            pass
    config = tmp_path / "config"
    config.write_text(f"[profile backups]\nendpoint_url = {moto_bucket.endpoint}\naws_access_key_id = x\n"
                      "aws_secret_access_key = y\n")  # fmt: skip
    aws.setenv("AWS_CONFIG_FILE", str(config))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    async with open_store(f"s3://{moto_bucket.name}/backups?profile=backups") as store:
        assert await store.publish("db", "1.parquet", CONTENT)


async def test_how_objects_are_kept(moto_bucket: Bucket) -> None:
    uri = moto_bucket.uri(sse="aws:kms", sse_kms_key_id="key-1", storage_class="STANDARD_IA")
    async with open_store(uri) as store:
        await store.publish("db", "1.parquet", CONTENT)
        assert await store.read("db", "1.parquet") == CONTENT
    head = moto_bucket.client.head_object(Bucket=moto_bucket.name, Key=KEY)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "key-1")
    assert head["StorageClass"] == "STANDARD_IA"


async def test_object_lock(moto_bucket: Bucket) -> None:
    locked = f"{moto_bucket.name}-locked"
    moto_bucket.client.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    moto_bucket.name = locked
    async with open_store(moto_bucket.uri(object_lock="COMPLIANCE", object_lock_days="30")) as store:
        await store.publish("db", "1.parquet", CONTENT)
    head = moto_bucket.client.head_object(Bucket=locked, Key=KEY)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert 29 <= (head["ObjectLockRetainUntilDate"] - head["LastModified"]).days <= 30
