"""The policy in docs/s3.md suffices for backups, and a permission that is missing is named."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from asyncrestore import backup, compact, copy, delete, info, repair, restore, verify
from asyncrestore.errors import NotAuthorized
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores import open_store
from tests.histories import PEOPLE, SCHEMA
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from asyncrestore.datomic.database import Connector
    from tests.support.s3 import Exchange, Proxy

pytestmark = pytest.mark.anyio

DOCS = (Path(__file__).parents[2] / "docs" / "s3.md").read_text()
POLICY, BUCKET_POLICY = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)


def enforce(endpoint: str, after: float) -> None:
    """Lets moto check permissions after that many more requests."""
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
        with pytest.raises(NotAuthorized, match="AccessDenied") as raised:
            await store.delete("db", "1.parquet")  # type: ignore[attr-defined]  # `Deletes`, as every store of ours
        assert raised.value.hint.startswith("The credentials need s3:DeleteObject there")
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


class Gate:
    """Lets through to the server what the documented policies allow, as AWS reads them: a denial wins."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._statements = [
            statement
            for policy in (POLICY, BUCKET_POLICY)
            for statement in json.loads(policy.replace("my-backups", bucket))["Statement"]
        ]
        self.refused: list[str] = []

    def __call__(self, exchange: Exchange) -> None:
        action, resource, context = self._asked(exchange)
        effects = {each["Effect"] for each in self._statements if _applies(each, action, resource, context)}
        if effects == {"Allow"}:
            relay(exchange)
        else:
            self.refused.append(action)
            exchange.refuse(403, "AccessDenied")

    def _asked(self, exchange: Exchange) -> tuple[str, str, dict[str, str]]:
        url = urlsplit(exchange.path)
        key = unquote(url.path).removeprefix(f"/{self._bucket}").lstrip("/")
        context = {"s3:prefix": dict(parse_qsl(url.query)).get("prefix", "")} if not key else {}
        condition = exchange.headers.get("If-None-Match")
        if condition is not None:
            context["s3:if-none-match"] = condition
        read = "s3:GetObject" if key else "s3:ListBucket"
        action = {"PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}.get(exchange.command, read)
        return action, f"arn:aws:s3:::{self._bucket}" + (f"/{key}" if key else ""), context


def _applies(statement: dict[str, Any], action: str, resource: str, context: dict[str, str]) -> bool:
    actions = statement["Action"]
    if action not in ([actions] if isinstance(actions, str) else actions):
        return False
    if not fnmatchcase(resource, statement["Resource"]):
        return False
    conditions = statement.get("Condition", {})
    assert conditions.keys() <= {"StringLike", "Null"}
    return all(
        any(fnmatchcase(context.get(key, ""), pattern) for pattern in patterns)
        for key, patterns in conditions.get("StringLike", {}).items()
    ) and all((key not in context) == (value == "true") for key, value in conditions.get("Null", {}).items())


@pytest.fixture
def gate(moto_bucket: Bucket, proxy: Proxy) -> Gate:
    """Stands before all requests that go through the proxy."""
    gate = Gate(moto_bucket.name)
    proxy.always = dict.fromkeys(("GET", "HEAD", "PUT", "DELETE"), gate)
    return gate


async def test_append_only(
    connector: Connector, moto_bucket: Bucket, proxy: Proxy, gate: Gate, tmp_path: Path
) -> None:
    """Both policies together: all jobs but `delete` do what they do, and nothing can be replaced."""
    source = await connector.open("datomic:local://tests/policy?storage-dir=:mem", create=True)
    target = await connector.open("datomic:local://tests/policy-copy?storage-dir=:mem", create=True)
    await source.transact_edn([SCHEMA, *PEOPLE])
    uri = moto_bucket.uri("datomic", endpoint_url=proxy.url)

    await backup(source, uri, name="db", segment_size=3)
    moto_bucket.put(f"datomic/db/{SegmentRange(6, 9).key}", b"damaged")
    assert (await repair(source, uri, name="db", segment_size=3)).ok
    await compact(uri)
    assert (await copy(uri, str(tmp_path))).ok
    assert (await copy(str(tmp_path), uri, as_name="spare")).ok
    await restore(uri, target, name="spare")
    assert (await verify(uri, against=target, name="db")).ok
    await info(uri)
    assert gate.refused == []

    before = {key: moto_bucket.get(key) for key in moto_bucket.all_keys()}
    with pytest.raises(NotAuthorized, match="AccessDenied") as raised:
        await delete(uri, "db", confirmed=True)
    assert "s3:DeleteObject" in raised.value.hint
    other_tool = boto3.client("s3", endpoint_url=proxy.url)
    key = next(key for key in before if key.endswith(".parquet"))
    with pytest.raises(ClientError, match="AccessDenied"):
        other_tool.put_object(Bucket=moto_bucket.name, Key=key, Body=b"replaced")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        other_tool.put_object(Bucket=moto_bucket.name, Key=key, Body=b"replaced", IfNoneMatch="*")
    assert gate.refused == ["s3:DeleteObject", "s3:PutObject"]
    assert {key: moto_bucket.get(key) for key in moto_bucket.all_keys()} == before
