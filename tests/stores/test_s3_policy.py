"""The policy in docs/s3.md suffices for backups, and a permission that is missing is named."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from asyncrestore.errors import NotAuthorized
from asyncrestore.stores import open_store
from tests.s3 import ACCESS_KEY, SECRET_KEY, Bucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

pytestmark = pytest.mark.anyio

DOCS = (Path(__file__).parents[2] / "docs" / "s3.md").read_text()
POLICY: str = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)[0]


def enforce(endpoint: str, after: float) -> None:
    """Tells moto to look at permissions after so many more requests."""
    connection = HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
    connection.request("POST", "/moto-api/reset-auth", str(after))
    assert connection.getresponse().status == 200
    connection.close()


@pytest.fixture
def become(moto_bucket: Bucket, aws: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts the keys of a user into the environment who has the documented policy, but for some actions."""

    def become(*, without: str = "") -> None:
        policy = json.loads(POLICY.replace("my-backups", moto_bucket.name))
        policy["Statement"] = [each for each in policy["Statement"] if each["Action"] != without]
        iam = boto3.client(
            "iam",
            endpoint_url=moto_bucket.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
        user = moto_bucket.name
        iam.create_user(UserName=user)
        iam.put_user_policy(UserName=user, PolicyName="backups", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        aws.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        aws.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        enforce(moto_bucket.endpoint, 0)

    yield become
    enforce(moto_bucket.endpoint, float("inf"))


async def test_the_documented_policy(moto_bucket: Bucket, become: Callable[..., None]) -> None:
    become()
    async with open_store(moto_bucket.uri("datomic")) as store:
        assert await store.publish("db", "1.parquet", b"one")
        assert not await store.publish("db", "1.parquet", b"other")
        assert await store.read("db", "1.parquet") == b"one"
        assert await store.names() == ["db"]
        assert [each.key for each in await store.list("db")] == ["1.parquet"]
    async with open_store(moto_bucket.uri("elsewhere")) as store:
        with pytest.raises(NotAuthorized, match="AccessDenied"):
            await store.publish("db", "1.parquet", b"one")
    user = boto3.client("s3", endpoint_url=moto_bucket.endpoint)
    with pytest.raises(ClientError, match="AccessDenied"):
        user.delete_object(Bucket=moto_bucket.name, Key="datomic/db/1.parquet")


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:GetObject", "s3:PutObject"])
async def test_a_missing_permission_is_named(
    moto_bucket: Bucket, become: Callable[..., None], action: str
) -> None:
    moto_bucket.put("datomic/db/1.parquet", b"one")
    become(without=action)
    async with open_store(moto_bucket.uri("datomic")) as store:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "s3:ListBucket": lambda: store.list("db"),
            "s3:GetObject": lambda: store.read("db", "1.parquet"),
            "s3:PutObject": lambda: store.publish("db", "2.parquet", b""),
        }
        with pytest.raises(NotAuthorized, match="AccessDenied") as raised:
            await calls[action]()
    assert raised.value.hint.startswith(f"The credentials need {action} there")
