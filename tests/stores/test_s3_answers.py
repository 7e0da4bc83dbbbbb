"""Answers of an S3 server that have no end, or are none: each is told, and takes little."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncrestore.errors import SegmentDamaged, StoreFailed
from asyncrestore.limits import max_segment_bytes
from asyncrestore.stores.s3 import answers
from asyncrestore.stores.s3 import store as s3_store

if TYPE_CHECKING:
    from asyncrestore.stores.s3.store import S3Store
    from tests.support.s3 import Exchange, Proxy

pytestmark = pytest.mark.anyio


async def test_listing_without_an_end(store: S3Store, proxy: Proxy) -> None:
    def cut_short(exchange: Exchange) -> None:
        status, headers, content = exchange.forward()
        more = content.replace(b"<IsTruncated>false", b"<IsTruncated>true")
        exchange.answer(status, headers, more)

    await store.publish("db", "1.parquet", b"a segment")
    proxy.always["GET"] = cut_short
    with pytest.raises(StoreFailed, match="cuts off a listing"):
        await store.list("db")


async def test_a_listing_that_goes_round_in_circles(store: S3Store, proxy: Proxy) -> None:
    def page(exchange: Exchange) -> None:
        query = dict(parse_qsl(urlsplit(exchange.path).query))
        after = {"a": "b", "b": "a"}[query.get("continuation-token", "b")]
        content = (
            f"<ListBucketResult><IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{after}</NextContinuationToken></ListBucketResult>"
        )
        exchange.answer(200, {"Content-Type": "application/xml"}, content.encode())

    proxy.always["GET"] = page
    with pytest.raises(StoreFailed, match="cuts off a listing"):
        await store.list("db")
    assert len(proxy.requests) == 3


async def test_a_listing_of_more_pages_than_any_backup_has(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(exchange: Exchange) -> None:
        content = (
            f"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{len(proxy.requests)}"
            f"</NextContinuationToken></ListBucketResult>"
        )
        exchange.answer(200, {"Content-Type": "application/xml"}, content.encode())

    monkeypatch.setattr(s3_store, "_MOST_PAGES", 20)
    proxy.always["GET"] = page
    with pytest.raises(StoreFailed, match="more than 20 pages of names"):
        await store.list("db")
    assert len(proxy.requests) == 21


@pytest.mark.parametrize(
    "content",
    [
        "<Size>1</Size>",
        "<Key>db/1.parquet</Key>",
        "<Key>db/1.parquet</Key><Size>one</Size>",
        "<Key>db/1.parquet</Key><Size>1</Size></Contents><Contents>" * 1_000,
    ],
    ids=["no key", "no size", "a size that is none", "too many"],
)
async def test_a_listing_that_is_none(store: S3Store, proxy: Proxy, content: str) -> None:
    def page(exchange: Exchange) -> None:
        listing = f"<ListBucketResult><Contents>{content}</Contents></ListBucketResult>"
        exchange.answer(200, {"Content-Type": "application/xml"}, listing.encode())

    proxy.always["GET"] = page
    with pytest.raises(StoreFailed, match=r"listing is none|more than 1,000 names"):
        await store.list("db")


def endless(exchange: Exchange) -> None:
    """Answers with a body that has no end, and does not say how long it is."""
    exchange.send_response_only(200)
    exchange.send_header("Content-Type", "application/xml")
    exchange.send_header("Transfer-Encoding", "chunked")
    exchange.end_headers()
    piece = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    with suppress(OSError):  # nobody reads any more
        while True:
            exchange.wfile.write(piece)
    exchange.close_connection = True


async def test_an_object_without_an_end(store: S3Store, proxy: Proxy) -> None:
    proxy.always["GET"] = endless
    with max_segment_bytes(1 << 20), pytest.raises(SegmentDamaged, match=r"1\.parquet has 1,") as caught:
        await store.read("db", "1.parquet")
    assert "`max_segment_bytes`" in caught.value.hint
    assert len(proxy.requests) == 1


async def test_an_object_that_says_that_it_is_large(store: S3Store, proxy: Proxy) -> None:
    def claim(exchange: Exchange) -> None:
        exchange.answer(200, {}, b"one", length=200 << 30)
        exchange.drop()

    proxy.always["GET"] = claim
    with pytest.raises(SegmentDamaged, match="has 214,748,364,800 bytes"):
        await store.read("db", "1.parquet")


async def test_a_listing_whose_page_has_no_end(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 1 << 20)
    proxy.always["GET"] = endless
    with pytest.raises(StoreFailed, match="longer than 1,048,576 bytes"):
        await store.list("db")
    assert len(proxy.requests) == 1
