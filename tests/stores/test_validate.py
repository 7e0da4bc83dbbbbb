"""Validating finds which promise a store breaks, and reports none as broken that it keeps."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

import asyncrestore
from asyncrestore.errors import NotAuthorized, NotFound, StoreFailed
from asyncrestore.stores import promises
from asyncrestore.stores.promises import UPLOADS_CHECKED, WRITERS
from tests.support.s3 import ignore_condition, refuse, relay

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore import ValidateReport
    from tests.support.s3 import Bucket, Exchange, Proxy

pytestmark = pytest.mark.anyio

ONCE, ONE_OF_MANY, _, READ, LARGE, LISTING = (text for text, _ in promises._CHECKS)


def broken(report: ValidateReport) -> list[str]:
    return [promise.text for promise in report.promises if promise.kept is False]


async def test_a_directory(tmp_path: Path) -> None:
    report = await asyncrestore.validate_store(str(tmp_path))
    assert report.ok
    report.raise_for_problems()
    assert [path.parent.name for path in tmp_path.glob("*/large")] == [report.left.rpartition("/")[2]]


async def test_what_is_left_is_no_backup(tmp_path: Path) -> None:
    await asyncrestore.validate_store(str(tmp_path))
    assert (await asyncrestore.info(str(tmp_path))).backups == []  # type: ignore[union-attr]
    with pytest.raises(NotFound, match="holds no backup"):
        await asyncrestore.verify(str(tmp_path))


async def test_a_disk_that_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several writers fail at once; the report names the promise all the same."""
    link, left = os.link, 10

    def fill(*arguments: Any, **options: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        link(*arguments, **options)

    monkeypatch.setattr(os, "link", fill)
    report = await asyncrestore.validate_store(str(tmp_path))
    assert broken(report) == [ONE_OF_MANY]
    assert [promise.kept for promise in report.promises] == [True, False, *[None] * 4]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few objects to list; `check_store` lists many on each server."""
    monkeypatch.setattr(promises, "LISTED", 30)


@pytest.mark.usefixtures("few")
async def test_servers(bucket: Bucket, moto: str) -> None:
    """Moto's server keeps all promises but one, which another server keeps too."""
    report = await asyncrestore.validate_store(bucket.uri())
    assert broken(report) == ([UPLOADS_CHECKED] if bucket.endpoint == moto else [])
    assert len(report.promises) == 7


@pytest.fixture
def scripted(proxy: Proxy, moto_bucket: Bucket, few: None) -> str:  # noqa: ARG001 - it patches
    """A store on the proxy, and few objects to list."""
    return moto_bucket.uri(endpoint_url=proxy.url)


async def test_conditions_ignored(scripted: str, proxy: Proxy) -> None:
    proxy.always["PUT"] = ignore_condition
    report = await asyncrestore.validate_store(scripted)
    assert broken(report) == [ONCE]
    assert "ignores If-None-Match" in report.promises[0].problem
    assert [each.kept for each in report.promises[1:]] == [None] * 6, "nothing else is worth a try"
    with pytest.raises(StoreFailed, match=r"never created again: .* ignores If-None-Match"):
        report.raise_for_problems()


async def test_conditions_checked_before_and_not_while_writing(scripted: str, proxy: Proxy) -> None:
    """A server that looks whether an object is there, and then writes: several see none."""
    looked, writing = threading.Barrier(WRITERS), threading.Lock()

    def look_then_write(exchange: Exchange) -> None:
        if "race-0" in exchange.path:
            looked.wait(30)
            with writing:  # moto fails when an object is replaced by several requests at once
                ignore_condition(exchange)
        else:
            relay(exchange)

    proxy.always["PUT"] = look_then_write
    report = await asyncrestore.validate_store(scripted)
    assert broken(report) == [ONE_OF_MANY, UPLOADS_CHECKED]
    assert report.promises[1].problem == "of 16 writers of one object, 16 were told that they had created it"


async def test_listing_ends_early(scripted: str, proxy: Proxy) -> None:
    def first_page_only(exchange: Exchange) -> None:
        if "list-type" in exchange.path:
            exchange.path += "&max-keys=10"
            status, headers, content = exchange.forward()
            exchange.answer(status, headers, content.replace(b"<IsTruncated>true", b"<IsTruncated>false"))
        else:
            relay(exchange)

    proxy.always["GET"] = first_page_only
    report = await asyncrestore.validate_store(scripted)
    assert broken(report) == [LISTING, UPLOADS_CHECKED]


async def test_large_objects_are_cut(scripted: str, proxy: Proxy) -> None:
    """A server that says that it has taken an object, and kept only its beginning."""

    def keep_beginning(exchange: Exchange) -> None:
        status, headers, content = exchange.forward()
        kept = {name: value for name, value in headers.items() if "checksum" not in name.lower()}
        exchange.answer(status, kept, content[:2_000_000])

    proxy.always["GET"] = keep_beginning
    assert broken(await asyncrestore.validate_store(scripted)) == [LARGE, UPLOADS_CHECKED]


async def test_reads_are_stale(scripted: str, proxy: Proxy) -> None:
    """A server that does not know yet what it has just taken."""
    before = 2 + promises.ROUNDS + 1  # reads of the checks before
    proxy.then("GET", *[relay] * before, refuse(404, "NoSuchKey"))
    assert broken(await asyncrestore.validate_store(scripted)) == [READ, UPLOADS_CHECKED]


async def test_a_store_that_cannot_be_used(scripted: str, proxy: Proxy) -> None:
    proxy.always["PUT"] = refuse(403, "AccessDenied")
    with pytest.raises(NotAuthorized):
        await asyncrestore.validate_store(scripted)
