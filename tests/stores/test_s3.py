"""The store on S3: its promises, and the faults of servers and networks that it must survive or name."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest

from asyncrestore.errors import (
    AsyncRestoreError,
    NotAuthorized,
    NotFound,
    SegmentDamaged,
    SegmentGap,
    StoreFailed,
    Unavailable,
    UsageError,
)
from asyncrestore.history.catalog import list_backup
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores import open_store
from asyncrestore.stores.s3.retry import RetryPolicy
from asyncrestore.stores.s3.store import S3Store
from asyncrestore.stores.s3.uri import parse_s3_uri
from asyncrestore.testing import check_store
from tests.support.refused import no_more_files
from tests.support.s3 import (
    Bucket,
    Exchange,
    Fault,
    Proxy,
    cut_body,
    flip_byte,
    ignore_condition,
    lose_answer,
    lose_request,
    refuse,
    relay,
)

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

pytestmark = pytest.mark.anyio

SHORT = RetryPolicy(total_s=0.1, attempt_s=10, first_s=0.001, longest_s=0.01)
CONTENT = b"a segment's content " * 1000
KEY = "backups/db/1.parquet"


async def test_promises(bucket: Bucket) -> None:
    async with open_store(bucket.uri()) as store:
        await check_store(store)


async def test_layout(bucket: Bucket) -> None:
    """The keys are those of the filesystem store, under the prefix; beside them lies one small object."""
    async with open_store(bucket.uri("deep/down")) as store:
        assert store.uri == f"s3://{bucket.name}/deep/down"
        assert await store.names() == []
        await store.publish("a/b", "1.parquet", b"one")
        assert await store.names() == ["a/b"]
    assert bucket.all_keys() == ["deep/down/.asyncrestore", "deep/down/a%2Fb/1.parquet"]


async def test_a_bucket_without_prefix(bucket: Bucket) -> None:
    async with open_store(bucket.uri("")) as store:
        assert await store.publish("a", "1.parquet", b"one")
        assert await store.names() == ["a"]
        assert await store.read("a", "1.parquet") == b"one"


async def test_foreign_objects(bucket: Bucket) -> None:
    """Other content in the bucket is not a backup; beside segments it is listed: the catalog reports it."""
    for key in (
        "other.txt",
        "backups.old/x",
        "backups/readme",
        "backups/%61/1",
        "backups/a/",
        "backups/a/x/y",
    ):
        bucket.put(key, b"")
    async with open_store(bucket.uri()) as store:
        await store.publish("a", "1.parquet", b"one")
        await store.publish("a", "notes.txt", b"")
        assert await store.names() == ["a"]
        assert [each.key for each in await store.list("a")] == ["1.parquet", "notes.txt"]


async def test_too_many_open_files_are_no_outage(moto_bucket: Bucket, aws: pytest.MonkeyPatch) -> None:
    """It is not tried again for minutes."""
    assert aws
    async with open_store(moto_bucket.uri()) as store:
        with no_more_files(), pytest.raises(StoreFailed, match="listing failed") as caught:
            await store.names()
    assert "ulimit -n" in caught.value.hint


# Faults: each is of one attempt, and the next succeeds.

PASSING: list[Fault] = [
    refuse(503, "SlowDown"),
    refuse(500, "InternalError"),
    refuse(503, "ServiceUnavailable"),
    refuse(429, "TooManyRequests"),
    refuse(400, "RequestTimeout"),
    lose_request,
]


@pytest.mark.parametrize(
    "fault", [*PASSING, refuse(409, "ConditionalRequestConflict"), refuse(400, "BadDigest")]
)
async def test_publishing_goes_on_after(
    store: S3Store, proxy: Proxy, moto_bucket: Bucket, fault: Fault
) -> None:
    await store.publish("other", "1.parquet", b"")
    proxy.then("PUT", fault, fault)
    assert await store.publish("db", "1.parquet", CONTENT)
    assert moto_bucket.get(KEY) == CONTENT
    assert proxy.requests.count(f"PUT /{moto_bucket.name}/{KEY}") == 3


@pytest.mark.parametrize("fault", [*PASSING, cut_body, flip_byte])
async def test_reading_goes_on_after(store: S3Store, proxy: Proxy, fault: Fault) -> None:
    await store.publish("db", "1.parquet", CONTENT)
    proxy.then("GET", fault)
    assert await store.read("db", "1.parquet") == CONTENT


@pytest.mark.parametrize("fault", [*PASSING, cut_body])
async def test_listing_goes_on_after(store: S3Store, proxy: Proxy, fault: Fault) -> None:
    await store.publish("db", "1.parquet", CONTENT)
    proxy.then("GET", fault, relay, fault)
    assert await store.names() == ["db"]
    assert [each.key for each in await store.list("db")] == ["1.parquet"]


async def test_own_write_after_a_lost_answer(store: S3Store, proxy: Proxy, moto_bucket: Bucket) -> None:
    await store.publish("other", "1.parquet", b"")
    proxy.then("PUT", lose_answer)
    assert await store.publish("db", "1.parquet", CONTENT), "it is ours"
    assert moto_bucket.get(KEY) == CONTENT


async def test_the_same_content_of_another_writer_is_not_ours(store: S3Store, moto_bucket: Bucket) -> None:
    moto_bucket.put(KEY, CONTENT)
    assert not await store.publish("db", "1.parquet", CONTENT)


async def test_other_write_after_a_lost_request(store: S3Store, proxy: Proxy, moto_bucket: Bucket) -> None:
    """Refused at the second attempt, but what is there is somebody else's."""

    def be_overtaken(exchange: Exchange) -> None:
        moto_bucket.put(KEY, b"other content")
        exchange.drop()

    await store.publish("other", "1.parquet", b"")
    proxy.then("PUT", be_overtaken)
    assert not await store.publish("db", "1.parquet", CONTENT)
    assert moto_bucket.get(KEY) == b"other content"


async def test_cut_upload_leaves_nothing(store: S3Store, proxy: Proxy, moto_bucket: Bucket) -> None:
    await store.publish("other", "1.parquet", b"")
    proxy.always["PUT"] = lose_request
    hasty = S3Store(store._client, parse_s3_uri(moto_bucket.uri()), SHORT)
    with pytest.raises(Unavailable, match=r"writing failed: .*; tried \d+ times in 0 s") as raised:
        await hasty.publish("db", "1.parquet", CONTENT)
    assert "again" in raised.value.hint
    assert await store.list("db") == []


async def test_silent_server(client: S3Client, moto_bucket: Bucket, proxy: Proxy) -> None:
    """A server that takes requests and never answers times out."""
    over = threading.Event()

    def hold(exchange: Exchange) -> None:
        over.wait(30)
        exchange.drop()

    proxy.always["GET"] = hold
    policy = RetryPolicy(total_s=0.1, attempt_s=0.2, first_s=0.001)
    with pytest.raises(Unavailable, match="not done after"):
        await S3Store(client, parse_s3_uri(moto_bucket.uri()), policy).names()
    over.set()


async def test_a_large_object_on_a_slow_line(client: S3Client, moto_bucket: Bucket, proxy: Proxy) -> None:
    """An attempt has a limit, and besides the time that its bytes take."""

    def be_slow(exchange: Exchange) -> None:
        answer = exchange.forward()
        threading.Event().wait(2.0)
        exchange.answer(*answer)

    def answer_slowly(exchange: Exchange) -> None:
        status, headers, content = exchange.forward()
        exchange.answer(status, headers, content[:1], length=len(content))
        threading.Event().wait(2.0)
        exchange.wfile.write(content[1:])

    policy = RetryPolicy(total_s=0.1, attempt_s=1.5, slowest=len(CONTENT) / 60)
    store = S3Store(client, parse_s3_uri(moto_bucket.uri()), policy)
    await store.publish("other", "1.parquet", CONTENT)
    proxy.then("PUT", be_slow)
    assert await store.publish("db", "1.parquet", CONTENT)
    proxy.then("GET", answer_slowly)
    assert await store.read("db", "1.parquet") == CONTENT


async def test_cancelled(moto_bucket: Bucket, proxy: Proxy) -> None:
    """A store that is left in the middle of a request closes its connections: else pytest fails it."""
    over = threading.Event()

    def hold(exchange: Exchange) -> None:
        over.wait(30)
        exchange.drop()

    proxy.always["GET"] = hold
    with anyio.move_on_after(0.1) as scope:
        async with open_store(moto_bucket.uri(endpoint_url=proxy.url)) as store:
            await store.names()
    over.set()
    assert scope.cancelled_caught
    gc.collect()


async def test_nothing_but_listing_reading_and_creating(store: S3Store, proxy: Proxy) -> None:
    await store.publish("db", "1.parquet", CONTENT)
    assert not await store.publish("db", "1.parquet", CONTENT)
    assert await store.read("db", "1.parquet") == CONTENT
    assert (await store.names(), len(await store.list("db"))) == (["db"], 1)
    assert {request.partition(" ")[0] for request in proxy.requests} == {"GET", "PUT", "HEAD"}


async def test_damaged_at_rest(store: S3Store, proxy: Proxy) -> None:
    """A content that never matches the checksum that was stored with it."""
    await store.publish("db", "1.parquet", CONTENT)
    proxy.always["GET"] = flip_byte
    with pytest.raises(SegmentDamaged, match=f"{KEY} is not what was written"):
        await store.read("db", "1.parquet")


async def test_ignored_conditions_are_noticed_before_anything_is_written(
    store: S3Store, proxy: Proxy, moto_bucket: Bucket
) -> None:
    moto_bucket.put(KEY, CONTENT)
    proxy.always["PUT"] = ignore_condition
    with pytest.raises(StoreFailed, match="ignores If-None-Match"):
        await store.publish("db", "1.parquet", b"other")
    assert moto_bucket.get(KEY) == CONTENT
    assert await store.read("db", "1.parquet") == CONTENT, "reading needs no conditions"


async def test_conditions_hold_although_an_answer_is_lost(store: S3Store, proxy: Proxy) -> None:
    proxy.then("PUT", lose_answer, lose_answer)
    assert await store.publish("db", "1.parquet", CONTENT)


async def test_a_hundred_thousand_segments(store: S3Store, proxy: Proxy) -> None:
    """A listing takes a request for each 1,000 objects; no object is read to know what is missing."""
    many, missing = 100_000, 77_777
    keys = [SegmentRange(10 * n, 10 * n + 10).key for n in range(many) if n != missing]

    def page(exchange: Exchange) -> None:
        query = dict(parse_qsl(urlsplit(exchange.path).query))
        start = int(query.get("continuation-token", 0))
        shown = "".join(
            f"<Contents><Key>backups/db/{key}</Key><Size>1</Size>"
            f"<LastModified>2026-01-31T12:00:00.000Z</LastModified></Contents>"
            for key in keys[start : start + 1000]
        )
        more = start + 1000 < len(keys)
        token = f"<NextContinuationToken>{start + 1000}</NextContinuationToken>" if more else ""
        document = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{shown}"
        content = f"<ListBucketResult>{document}</ListBucketResult>".encode()
        exchange.answer(200, {"Content-Type": "application/xml"}, content)

    proxy.always["GET"] = page
    backup = await list_backup(store, "db")
    assert [each.key for each in backup.segments] == keys
    assert backup.gaps() == [SegmentRange(10 * missing, 10 * missing + 10)]
    assert len(backup.chain()) == many - 1
    with pytest.raises(SegmentGap, match="no segment holds t 777770 to 777779"):
        backup.check_contiguous()
    assert len(proxy.requests) == 100
    assert {urlsplit(request.partition(" ")[2]).path for request in proxy.requests} == {
        f"/{store._place.bucket}"
    }


# Refusals: named, and at once.

REFUSALS: list[tuple[Fault, type[AsyncRestoreError], str]] = [
    (refuse(403, "AccessDenied"), NotAuthorized, "credentials need {permission}"),
    (refuse(403, "InvalidAccessKeyId"), NotAuthorized, "does not accept these credentials"),
    (refuse(403, "SignatureDoesNotMatch"), NotAuthorized, "does not accept these credentials"),
    (refuse(400, "ExpiredToken"), NotAuthorized, "have expired. Renew them"),
    (refuse(403, "RequestTimeTooSkewed"), NotAuthorized, "set the clock"),
    (refuse(404, "NoSuchBucket"), NotFound, "bucket's name"),
    (refuse(301, "PermanentRedirect", x_amz_bucket_region="eu-west-9"), UsageError, "region=eu-west-9"),
    (refuse(400, "InvalidRequest"), StoreFailed, ""),
    (refuse(501, "NotImplemented"), StoreFailed, "use another store"),
    (refuse(507, "InsufficientStorage"), StoreFailed, "Free some space"),
]


@pytest.mark.parametrize(("fault", "kind", "hint"), REFUSALS)
async def test_refusals_are_named(
    store: S3Store, proxy: Proxy, moto_bucket: Bucket, fault: Fault, kind: type[AsyncRestoreError], hint: str
) -> None:
    await store.publish("db", "1.parquet", CONTENT)
    proxy.always = {"GET": fault, "PUT": fault, "HEAD": fault}
    where = f"s3://{moto_bucket.name}/backups"
    for call, doing, permission in (
        (store.list("db"), f"{where}/db: listing", "s3:ListBucket"),
        (store.read("db", "1.parquet"), f"s3://{moto_bucket.name}/{KEY}: reading", "s3:GetObject"),
        (store.publish("db", "2.parquet", b""), f"{where}/db/2.parquet: writing", "s3:PutObject"),
    ):
        proxy.requests.clear()
        with pytest.raises(kind) as raised:
            await call
        assert str(raised.value).startswith(f"{doing} failed: "), "it says what, and on which object"
        assert hint.format(permission=permission) in raised.value.hint
        assert len(proxy.requests) <= 3, "nothing but what finds out the region"


async def test_an_archived_object(store: S3Store, proxy: Proxy) -> None:
    proxy.then("GET", refuse(403, "InvalidObjectState"))
    with pytest.raises(StoreFailed) as raised:
        await store.read("db", "1.parquet")
    assert "archive class" in raised.value.hint


async def test_no_such_bucket(bucket: Bucket) -> None:
    bucket.client.delete_bucket(Bucket=bucket.name)
    async with open_store(bucket.uri()) as store:
        with pytest.raises(NotFound, match="NoSuchBucket"):
            await store.names()
        with pytest.raises(NotFound, match="NoSuchBucket"):
            await store.publish("db", "1.parquet", b"")


async def test_the_right_region_is_found(store: S3Store, proxy: Proxy) -> None:
    """A server that names the bucket's region is asked again in that region."""
    await store.publish("db", "1.parquet", CONTENT)
    proxy.then("GET", refuse(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"))
    assert await store.read("db", "1.parquet") == CONTENT


async def test_what_is_sent(store: S3Store, proxy: Proxy) -> None:
    """One request a segment, conditional and with the content's SHA-256, in a form that clones know."""
    await store.publish("other", "1.parquet", b"")
    sent: list[dict[str, str]] = []

    def note(exchange: Exchange) -> None:
        sent.append({name.lower(): value for name, value in exchange.headers.items()})
        relay(exchange)

    proxy.always["PUT"] = note
    await store.publish("db", "1.parquet", CONTENT)
    (headers,) = sent
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-checksum-sha256"] == "6PouVQdwcoRYFDuETZyUMKqWWt/Hn5ZMJn0v5rtU1/E="
    assert headers["content-length"] == str(len(CONTENT))
    assert not {"transfer-encoding", "x-amz-trailer", "x-amz-checksum-crc32"} & headers.keys()
