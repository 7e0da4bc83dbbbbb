"""What leaves this machine for a store on S3: to which host, how, and for how long."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import Unavailable, UsageError
from asyncrestore.stores import open_store
from asyncrestore.stores.s3 import client
from asyncrestore.stores.s3.client import open_s3
from asyncrestore.stores.s3.retry import RetryPolicy
from asyncrestore.stores.s3.session import warn_of_plain
from asyncrestore.stores.s3.store import S3Store
from asyncrestore.stores.s3.uri import parse_s3_uri
from tests.support.s3 import Exchange, Proxy, relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.s3 import Bucket, Fault

pytestmark = pytest.mark.anyio

TOKEN = "token-of-the-session"  # noqa: S105
CONTENT = b"a segment's content " * 1000


@contextmanager
def running(behind: str) -> Iterator[Proxy]:
    with Proxy(behind) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


def redirect(status: int, to: Proxy, **headers: str) -> Fault:
    def answer(exchange: Exchange) -> None:
        # Another name of this machine is another host.
        place = f"http://localhost:{to.server_port}{exchange.path}"
        document = (
            f"<Error><Code>TemporaryRedirect</Code><Endpoint>localhost:{to.server_port}</Endpoint></Error>"
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = b"" if exchange.command == "HEAD" else document.encode()
        exchange.answer(status, {"Location": place, "Content-Type": "application/xml", **named}, content)

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("headers", [{}, {"x_amz_bucket_region": "eu-west-9"}], ids=["", "region"])
async def test_no_redirect_is_followed(
    moto_bucket: Bucket, proxy: Proxy, aws: pytest.MonkeyPatch, status: int, headers: dict[str, str]
) -> None:
    aws.setenv("AWS_SESSION_TOKEN", TOKEN)
    with running(moto_bucket.endpoint) as elsewhere:
        fault = redirect(status, elsewhere, **headers)
        proxy.always = {"GET": fault, "PUT": fault, "HEAD": fault}
        async with open_store(moto_bucket.uri(endpoint_url=proxy.url)) as store:
            for request in (store.names(), store.read("db", "1.parquet"), store.publish("db", "1", CONTENT)):
                with pytest.raises(UsageError) as caught:
                    await request
                said = str(caught.value) + caught.value.hint
                assert ("region=eu-west-9" if headers else "it redirects to localhost") in said
        assert elsewhere.requests == []
        assert proxy.requests


async def test_a_content_is_sent_without_asking_first(moto_bucket: Bucket, proxy: Proxy) -> None:
    """A server that knows nothing of `Expect: 100-continue` does not answer it."""
    asked: list[str] = []

    def note(exchange: Exchange) -> None:
        asked.extend(exchange.headers.get_all("Expect", []))
        relay(exchange)

    proxy.always["PUT"] = note
    async with open_store(moto_bucket.uri(endpoint_url=proxy.url)) as store:
        assert await store.publish("db", "1.parquet", CONTENT)
        assert await store.read("db", "1.parquet") == CONTENT
    assert asked == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_server_that_takes_a_request_and_says_nothing(
    moto_bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The time-out for reading ends an attempt, whatever the attempt may last."""
    over = threading.Event()

    def hold(exchange: Exchange) -> None:
        over.wait(30)
        exchange.drop()

    proxy.always[method] = hold
    monkeypatch.setattr(client, "READ_TIMEOUT_S", 0.2)
    policy = RetryPolicy(total_s=0.1, attempt_s=30, first_s=0.001)
    async with open_s3(parse_s3_uri(moto_bucket.uri(endpoint_url=proxy.url)), policy) as store:
        with pytest.raises(Unavailable, match="Read timeout"):
            await (store.names() if method == "GET" else store.publish("db", "1.parquet", CONTENT))
    over.set()


async def test_every_request_names_the_owner_of_the_bucket(moto_bucket: Bucket, proxy: Proxy) -> None:
    owners: list[str | None] = []

    def note(exchange: Exchange) -> None:
        owners.append(exchange.headers["x-amz-expected-bucket-owner"])
        relay(exchange)

    proxy.always = dict.fromkeys(("GET", "PUT", "HEAD", "DELETE"), note)
    uri = moto_bucket.uri(endpoint_url=proxy.url, expected_bucket_owner="123456789012")
    async with open_store(uri) as store:
        assert isinstance(store, S3Store)
        await store.publish("db", "1.parquet", CONTENT)
        await store.publish("db", "1.parquet", CONTENT)
        await store.read("db", "1.parquet")
        await store.list("db")
        await store.names()
        await store.refuses_damage("db", "2.parquet")
        await store.delete("db", "1.parquet")
    assert set(owners) == {"123456789012"}
    assert {request.partition(" ")[0] for request in proxy.requests} == {"GET", "PUT", "HEAD", "DELETE"}


@pytest.mark.parametrize("owner", ["12345678901", "12345678901x", "\u0661" * 12])
def test_an_owner_that_is_none(owner: str) -> None:
    with pytest.raises(UsageError, match="12 digits"):
        parse_s3_uri(f"s3://bucket/p?expected-bucket-owner={owner}")


def test_what_is_not_encrypted_on_its_way_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for host in ("127.0.0.1:9000", "localhost", "[::1]:9000", "s3.localhost:4566"):
            warn_of_plain(f"http://{host}/")
        warn_of_plain("https://minio.example/")
        assert caplog.messages == []
        for _ in range(2):
            warn_of_plain("http://minio.example:9000/x")
    [message] = caplog.messages
    assert message.startswith("http://minio.example:9000 is not encrypted")


async def test_a_store_beyond_this_machine_is_warned_of(
    aws: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    aws.setenv("AWS_ENDPOINT_URL_S3", "http://store.example:9000")
    with caplog.at_level(logging.WARNING):
        async with open_store("s3://bucket/p"):
            pass
    assert "http://store.example:9000 is not encrypted" in caplog.text
