"""Backups on S3: the same history, whatever happens to the command or the credentials on the way."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest
from anyio import to_thread

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import NotAuthorized
from asyncrestore.history.catalog import BACKUP_JSON
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.delete import delete
from asyncrestore.jobs.info import StoreInfo, info
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model.log import t_to_tx
from asyncrestore.stores import open_store
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.s3.client import open_s3
from asyncrestore.stores.s3.retry import RetryPolicy
from asyncrestore.stores.s3.store import S3Store
from asyncrestore.stores.s3.uri import parse_s3_uri
from tests.histories import ODD, PEOPLE, SCHEMA
from tests.support.damage import LINEAGE, begin, load
from tests.support.s3 import relay

if TYPE_CHECKING:
    from pathlib import Path

    from types_aiobotocore_s3 import S3Client

    from asyncrestore.datomic.database import BridgeDatabase
    from tests.support.databases import NewDatabase
    from tests.support.s3 import Bucket, Exchange, Proxy

pytestmark = pytest.mark.anyio

SEGMENT_SIZE = 5


async def segments(database: BridgeDatabase) -> dict[str, bytes]:
    """What a backup of the database is, by key."""
    store = MemoryStore()
    await begin(store)
    await backup(database, store, segment_size=SEGMENT_SIZE, name="db")
    return await load(store)


def begin_in(bucket: Bucket, prefix: str = "backups") -> None:
    bucket.put(f"{prefix}/db/{BACKUP_JSON}", LINEAGE.to_json())


def stored(bucket: Bucket) -> dict[str, bytes]:
    prefix = "backups/db/"
    keys = [key for key in bucket.all_keys() if key.startswith(prefix) and not key.endswith(BACKUP_JSON)]
    return {key.removeprefix(prefix): bucket.get(key) for key in keys}


async def test_round_trip(new_database: NewDatabase, bucket: Bucket) -> None:
    source, target = await new_database(*ODD), await new_database()
    begin_in(bucket)
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
    begin_in(bucket)
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
    late = sorted(stored(moto_bucket))[3:-1]  # the last is looked at when the backup is opened
    asked = Counter[str]()

    def expire(exchange: Exchange) -> None:
        asked.update(key for key in late if key in exchange.path)
        # The first time it looks for code in all of them.
        if any(key in exchange.path and asked[key] > 1 for key in late):
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
    begin_in(moto_bucket)
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


@pytest.mark.parametrize("written", [False, True], ids=["before it is written", "after it is written"])
@pytest.mark.parametrize("job", ["compact", "copy"])
async def test_killed_while_compacting_or_copying(
    new_database: NewDatabase, moto_bucket: Bucket, proxy: Proxy, job: str, *, written: bool
) -> None:
    source = await new_database(*ODD)
    await backup(source, moto_bucket.uri("from"), segment_size=SEGMENT_SIZE, name="db")
    through = moto_bucket.uri("from" if job == "compact" else "to", endpoint_url=proxy.url)
    places = [through] if job == "compact" else [moto_bucket.uri("from"), through]
    options = ["--segment-size", "10"] if job == "compact" else ["--parallel", "1"]
    command = [sys.executable, "-m", "asyncrestore", job, *places, *options]
    publishing, over = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> None:
        if written:
            exchange.forward()
        publishing.set()
        over.wait(60)
        exchange.drop()

    proxy.then("PUT", relay, relay, relay, hold)  # two that try the store, and a segment

    def run() -> None:
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert publishing.wait(60)
        killed.kill()
        killed.wait(10)
        over.set()

    await to_thread.run_sync(run)
    if job == "compact":
        assert (await verify(moto_bucket.uri("from"), live=source)).problems == []
    else:
        keys = [key for key in moto_bucket.all_keys() if key.startswith("to/db/")]
        assert len(keys) == (2 if written else 1)
        assert all(moto_bucket.get(key) == moto_bucket.get(f"from{key[2:]}") for key in keys)

    again = await to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    )

    assert again.returncode == 0, again.stderr
    assert (await verify(through, live=source)).problems == []


async def test_repair_and_delete(new_database: NewDatabase, bucket: Bucket) -> None:
    source, target = await new_database(*ODD), await new_database()
    await backup(source, bucket.uri(), segment_size=SEGMENT_SIZE, name="db")
    whole = stored(bucket)
    first, second = sorted(whole)[:2]
    bucket.put(f"backups/db/{first}", whole[first][:-1])
    bucket.put(f"backups/db/{second}", whole[first])

    report = await repair(source, bucket.uri(), segment_size=SEGMENT_SIZE, name="db")

    assert report.ok
    assert [each.key for each in report.aside] == [first, second]
    assert stored(bucket)[first] == whole[first][:-1], "it lies where it was"
    assert (await restore(bucket.uri(), target)).transactions == len(ODD)
    assert (await verify(source, against=target)).problems == []

    await delete(bucket.uri(), "db", superseded=True, confirmed=True)
    assert sorted(stored(bucket).values()) == sorted(whole.values())
    await delete(bucket.uri(), "db", confirmed=True)
    assert stored(bucket) == {}


async def test_two_at_once_ten_times(new_database: NewDatabase, moto_bucket: Bucket) -> None:
    """Two writers, each with connections of its own, end in what one makes; each segment is one's.

    Each time they meet at six segments.
    """
    source = await new_database(SCHEMA, *PEOPLE)
    one = MemoryStore()
    await begin(one)
    await backup(source, one, segment_size=3, name="db")
    wanted = await load(one)

    async def run(client: S3Client, uri: str, written: list[str]) -> None:
        store = S3Store(client, parse_s3_uri(uri), RetryPolicy())
        report = await backup(source, store, segment_size=3, name="db")
        written += [each.key for each in report.segments]

    place = parse_s3_uri(moto_bucket.uri())
    async with open_s3(place) as first, open_s3(place) as second:
        for number in range(10):
            uri, written = moto_bucket.uri(f"backups{number}"), list[str]()
            begin_in(moto_bucket, f"backups{number}")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, first._client, uri, written)
                tasks.start_soon(run, second._client, uri, written)
            assert sorted(written) == sorted(wanted)
            prefix = f"backups{number}/db/"
            keys = [
                key
                for key in moto_bucket.all_keys()
                if key.startswith(prefix) and not key.endswith(BACKUP_JSON)
            ]
            assert {key.removeprefix(prefix): moto_bucket.get(key) for key in keys} == wanted


async def test_the_state_to_resume_at_is_read_several_segments_at_a_time(
    new_database: NewDatabase, moto_bucket: Bucket, proxy: Proxy
) -> None:
    source = await new_database(*ODD)
    await backup(source, moto_bucket.uri(), segment_size=3, name="db")
    whole = MemoryStore()
    await backup(source, whole, name="db")
    tx = t_to_tx(await source.basis_t())
    # The segment with that transaction is read, then the eight before it: their answers wait for each other.
    together, met, asked = threading.Barrier(8), list[int](), list[str]()

    def wait(exchange: Exchange) -> None:
        asked.append(exchange.path)
        if len(asked) > 1 and ".parquet" in exchange.path and not together.broken:
            with suppress(threading.BrokenBarrierError):
                met.append(together.wait(60))
            together.abort()
        relay(exchange)

    async with open_store(moto_bucket.uri(endpoint_url=proxy.url)) as store:
        history = await StoredHistory.open(store, "db")
        proxy.always["GET"] = wait
        state = await history.state(tx)
    expected = await (await StoredHistory.open(whole, "db")).state(tx)
    assert len(met) >= 1, "eight were asked for at the same time"
    assert state.seen.largest == expected.seen.largest
    assert state.last == expected.last
