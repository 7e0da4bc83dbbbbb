"""Backups on S3: the same history, whatever happens to the command or the credentials on the way."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest
from anyio import to_thread

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import NotAuthorized
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from tests.histories import ODD
from tests.s3 import relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase
    from tests.s3 import Bucket, Exchange, Proxy

    NewDatabase = Callable[..., Awaitable[BridgeDatabase]]

pytestmark = pytest.mark.anyio

SEGMENT_SIZE = 5


async def segments(database: BridgeDatabase) -> dict[str, bytes]:
    """What a backup of the database is, by key."""
    store = MemoryStore()
    await backup(database, store, segment_size=SEGMENT_SIZE, name="db")
    return {each.key: await store.read("db", each.key) for each in await store.list("db")}


def stored(bucket: Bucket) -> dict[str, bytes]:
    prefix = "backups/db/"
    return {key.removeprefix(prefix): bucket.get(key) for key in bucket.all_keys() if key.startswith(prefix)}


async def test_round_trip(new_database: NewDatabase, bucket: Bucket) -> None:
    source, target = await new_database(*ODD), await new_database()
    await backup(source, bucket.uri(), segment_size=SEGMENT_SIZE, name="db")
    assert stored(bucket) == await segments(source)

    report = await restore(bucket.uri(), target)

    assert report.transactions == len(ODD)
    assert (await verify(bucket.uri())).problems == []
    assert (await verify(bucket.uri(), against=target)).problems == []
    found = await info(bucket.uri())
    assert isinstance(found, StoreInfo)
    assert [(each.name, each.gaps, each.foreign) for each in found.backups] == [("db", [], [])]


async def test_two_backups_at_once(new_database: NewDatabase, bucket: Bucket) -> None:
    source = await new_database(*ODD)
    reports = []

    async def run() -> None:
        reports.append(await backup(source, bucket.uri(), segment_size=SEGMENT_SIZE, name="db"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        tasks.start_soon(run)
    wanted = await segments(source)
    assert stored(bucket) == wanted
    assert sorted(each.key for report in reports for each in report.segments) == sorted(wanted)


async def test_credentials_expire_on_the_way(
    new_database: NewDatabase, moto_bucket: Bucket, proxy: Proxy
) -> None:
    source, target = await new_database(*ODD), await new_database()
    await backup(source, moto_bucket.uri(), segment_size=SEGMENT_SIZE, name="db")
    late = sorted(stored(moto_bucket))[3:]

    def expire(exchange: Exchange) -> None:
        if any(key in exchange.path for key in late):
            exchange.refuse(400, "ExpiredToken")
        else:
            relay(exchange)

    proxy.always["GET"] = expire
    uri = moto_bucket.uri(endpoint_url=proxy.url)
    with pytest.raises(NotAuthorized, match="ExpiredToken") as raised:
        await restore(uri, target)
    assert "Renew them and run the same command again" in raised.value.hint

    proxy.always.clear()
    report = await restore(uri, target)

    assert 0 < report.transactions < len(ODD), "it continued"
    assert (await verify(source, against=target)).problems == []


@pytest.mark.parametrize("written", [False, True], ids=["before it is written", "after it is written"])
async def test_killed_while_publishing(
    moto_bucket: Bucket, proxy: Proxy, tmp_path: Path, *, written: bool
) -> None:
    source = f"datomic:local://system/db?storage-dir={tmp_path}"
    async with open_connector() as connector:  # a JVM of its own: it locks the directory
        database = await connector.open(source, create=True)
        await database.transact_edn(ODD)
        wanted = await segments(database)
    publishing, over = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> None:
        if written:
            exchange.forward()
        publishing.set()
        over.wait(60)
        exchange.drop()

    proxy.then("PUT", relay, relay, relay, relay, hold)  # two that try the store, and two segments
    command = [
        sys.executable,
        "-m",
        "asyncrestore",
        "backup",
        source,
        moto_bucket.uri(endpoint_url=proxy.url),
    ]
    command += ["--segment-size", str(SEGMENT_SIZE), "--parallel", "1"]

    def run() -> str:
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert publishing.wait(60)
        (jvm,) = psutil.Process(killed.pid).children()
        killed.kill()
        killed.wait(10)
        jvm.wait(10)
        over.set()
        left = stored(moto_bucket)
        assert left.items() <= wanted.items(), "only whole segments"
        assert len(left) == (3 if written else 2)
        again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert again.returncode == 0, again.stderr
        return again.stderr

    stderr = await to_thread.run_sync(run)
    assert "Traceback" not in stderr
    assert stored(moto_bucket) == wanted
