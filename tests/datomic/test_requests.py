"""How long a request may take: as long as something works at it, and not much longer."""

from __future__ import annotations

import logging
import os
import shutil
from time import monotonic
from typing import TYPE_CHECKING

import anyio
import pytest

from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.engines import parse_uri
from asyncrestore.datomic.requests import Request, logged
from asyncrestore.errors import StoppedEarly, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.bridge import Bridge
    from asyncrestore.datomic.database import Connector

pytestmark = pytest.mark.anyio

LIMIT_S = 4.0
"""Some times the interval in which the bridge tells, for what it tells may come late."""

BUSY = "[:find ?last :in $ ?numbers :where [(range ?numbers) ?all] [(last ?all) ?last]]"
BLOCKED = "[:find ?text :in $ ?file :where [(slurp ?file) ?text]]"
MORE_THAN_IT_LEAVES_OUT = 26_000
"""Datoms. Local indexes when there are 25,000 that are not in its indexes."""


async def opened(connector: Connector, uri: str) -> tuple[Bridge, int]:
    """Makes a database; returns its bridge and its handle there."""
    place = parse_uri(uri)
    bridge = await connector.bridge(place.engine)
    handle, *_ = await bridge.request("open", {**place.place, "create": True})
    return bridge, handle


async def test_a_request_may_last_as_long_as_something_works_at_it(
    connector: Connector, memory_uri: str
) -> None:
    bridge, handle = await opened(connector, memory_uri)
    numbers, took_s = 30_000_000, 0.0
    while took_s <= LIMIT_S:  # at first to know how many are enough on this machine
        numbers = round(numbers * min(20.0, max(1.5, 1.3 * LIMIT_S / (took_s or LIMIT_S))))
        started = monotonic()
        (row,) = await bridge.request("query", handle, None, BUSY, [str(numbers)], timeout_s=LIMIT_S)
        took_s = monotonic() - started
        assert row == (("l", numbers - 1),)


async def test_the_threads_of_the_peer_work_too(connector: Connector) -> None:
    bridge, handle = await opened(connector, "datomic:mem://works")
    told: list[int | None] = []
    numbers = 30_000_000
    while not told:
        numbers *= 2
        await bridge.request("query", handle, None, BUSY, [str(numbers)], on_work=told.append)
    assert set(told) == {None}, "the peer does not tell how far it is"


async def test_a_request_that_only_waits_is_an_error(connector: Connector, tmp_path: Path) -> None:
    """Its JVM lives and can tell; that is no sign that there will be an answer."""
    bridge, handle = await opened(connector, "datomic:mem://waits")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # who reads it waits until somebody writes
    with anyio.fail_after(60), pytest.raises(Unavailable, match="'query': nothing has worked at it for 4 s"):
        await bridge.request("query", handle, None, BLOCKED, [f'"{pipe}"'], timeout_s=LIMIT_S)
    os.close(os.open(pipe, os.O_WRONLY))


async def test_an_open_that_comes_to_nothing_is_an_error(connector: Connector, tmp_path: Path) -> None:
    """As where a disk never answers."""
    uri = f"datomic:local://s/{{}}?storage-dir={tmp_path}"
    bridge, _ = await opened(connector, uri.format("db"))
    shutil.copytree(tmp_path / "s" / "db", tmp_path / "s" / "other")
    root = tmp_path / "s" / "other" / "db-root-0000000005"  # it reads the newest such file
    os.mkfifo(root)
    place = {**parse_uri(uri.format("other")).place, "create": False}
    with anyio.fail_after(60), pytest.raises(Unavailable, match="'open': nothing has worked at it for 4 s"):
        await bridge.request("open", place, timeout_s=LIMIT_S)
    os.close(os.open(root, os.O_WRONLY))


async def test_the_indexes_of_a_durable_database_are_made_once(tmp_path: Path) -> None:
    """Local writes them when it is told to close the database; otherwise each opening makes them again."""
    uri = f"datomic:local://s/db?storage-dir={tmp_path}"
    many = " ".join(f'[:db/add "{i}" :db/doc "{i}"]' for i in range(MORE_THAN_IT_LEAVES_OUT))

    def indexes() -> set[str]:
        return {path.name.split("-")[1] for path in (tmp_path / "s" / "db").glob("index-*-*")}

    async def fill_and_stop() -> None:
        async with open_connector() as connector:
            await (await connector.open(uri, create=True)).transact_edn([f"[{many}]"])
            assert indexes() == set()
            raise StoppedEarly("by Ctrl-C")

    with pytest.raises(StoppedEarly):
        await fill_and_stop()
    assert indexes() == {"eavt", "aevt", "avet", "vaet"}
    for path in (tmp_path / "s" / "db").glob("*-*"):
        path.unlink()
    async with open_connector() as connector:
        assert await (await connector.open(uri)).basis_t() == 6
    assert indexes() == {"eavt", "aevt", "avet", "vaet"}


async def test_work_makes_up_for_idle_time() -> None:
    request = Request(1, "open", anyio.Event())
    request.idle_s = 5.0
    request.hear(works=False, percent=None)
    assert (request.idle_s, request.idle) == (5.0, True)
    with pytest.raises(Unavailable, match="nothing has worked at it for 5 s"):
        await request.wait(5.0)
    request.hear(works=True, percent=None)
    assert (request.idle_s, request.idle) == (0.0, False)
    with pytest.raises(Unavailable, match=r"no sign of life for 0\.01 s"):
        await request.wait(0.01)


def test_a_long_request_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    caplog.set_level(logging.INFO, "asyncrestore")
    on_work = logged("opening URI", lambda: now)
    for second in range(80):
        now = 100.0 + second
        on_work(None if second < 20 else second)
    assert caplog.messages == ["opening URI: 10 s", "opening URI: 40 % in 40 s", "opening URI: 70 % in 70 s"]
