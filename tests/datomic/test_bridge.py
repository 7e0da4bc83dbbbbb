"""The bridge: requests travel as frames, and it ends cleanly in every case."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import anyio
import psutil
import pytest

from asyncrestore.datomic.bridge import Bridge, start_bridge
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.runtime import bridge_command
from asyncrestore.errors import AsyncRestoreError, BridgeDied, NotFound, Unavailable
from asyncrestore.model import positions
from asyncrestore.model.commit import TxData
from asyncrestore.model.values import Keyword
from tests.histories import PEOPLE, SCHEMA, VALUES, VALUES_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase, Connector
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

# Stand-ins for a JVM that misbehaves as no real one does on request.
SILENT = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]
STUBBORN = [sys.executable, "-c", "import sys, threading; sys.stdin.buffer.read(); threading.Event().wait()"]
DEAF = [sys.executable, "-c", "import threading; threading.Event().wait()"]
DYING = [sys.executable, "-c", "import sys; sys.stdin.buffer.read(4); sys.exit('the disk is on fire')"]

TALKATIVE = [
    sys.executable,
    "-c",
    "import sys; print('Started recording', flush=True); sys.stdin.buffer.read()",
]


async def test_databases_opened_at_the_same_time_are_told_apart(connector: Connector) -> None:
    uris = [f"datomic:local://at-once/db{number}?storage-dir=:mem" for number in range(20)]
    opened: dict[str, BridgeDatabase] = {}

    async def open_and_write(uri: str) -> None:
        opened[uri] = await connector.open(uri, create=True)
        await opened[uri].transact_edn(["[]"])

    async with anyio.create_task_group() as tasks:
        for uri in uris:
            tasks.start_soon(open_and_write, uri)
    assert len({database.identity for database in opened.values()}) == len(uris)
    assert [await opened[uri].basis_t() for uri in uris] == [6] * len(uris)


async def test_no_answer_is_an_error_after_its_deadline() -> None:
    async with start_bridge(SILENT) as bridge:
        with pytest.raises(Unavailable, match=r"did not answer 'basis': .* no sign of life for 0\.05 s"):
            await bridge.request("basis", 0, timeout_s=0.05)


async def test_a_jvm_does_not_get_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASYNCRESTORE_ENCRYPTION_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    for aws, keys in ((False, set()), (True, {"AWS_SECRET_ACCESS_KEY"})):
        async with start_bridge(SILENT, aws=aws) as bridge:
            given = psutil.Process(bridge.pid).environ()
        assert {name for name, value in given.items() if value == "secret"} == keys
        assert given["PATH"] == os.environ["PATH"]


async def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncrestore.datomic.bridge.CLOSE_TIMEOUT_S", 0.1)
    async with start_bridge(STUBBORN) as bridge:
        pid = bridge.pid
    assert not psutil.pid_exists(pid)


async def test_a_process_that_dies_fails_all_that_wait_with_its_last_words() -> None:
    errors: list[BridgeDied] = []

    async with start_bridge(DYING) as bridge, anyio.create_task_group() as tasks:

        async def ask() -> None:
            try:
                await bridge.request("basis", 0)
            except BridgeDied as error:
                errors.append(error)

        for _ in range(3):
            tasks.start_soon(ask)
    assert len(errors) == 3
    assert "exit status 1" in str(errors[-1])
    assert any("the disk is on fire" in str(error) for error in errors)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_still_waits_when_a_bridge_is_closed_is_told(*, cancelled: bool) -> None:
    told = []

    async def ask(bridge: Bridge) -> None:
        with pytest.raises(BridgeDied) as caught:
            await bridge.answer(await bridge.send("basis", 0), timeout_s=100)
        told.append(caught.value)

    with anyio.fail_after(50):
        async with anyio.create_task_group() as outer:
            with anyio.CancelScope() as scope:
                async with start_bridge(SILENT) as bridge:
                    for _ in range(3):
                        outer.start_soon(ask, bridge)
                    await anyio.wait_all_tasks_blocked()
                    if cancelled:
                        scope.cancel()
    assert len(told) == 3
    with pytest.raises(BridgeDied):
        await bridge.request("basis", 0)


async def test_the_exit_status_is_known_also_to_what_could_not_be_sent() -> None:
    errors: list[str] = []

    async def ask(bridge: Bridge) -> None:
        with pytest.raises(BridgeDied) as caught:
            await bridge.request("basis", "x" * 1_000_000)
        errors.append(str(caught.value))

    for _ in range(10):
        async with start_bridge(DYING) as bridge, anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask, bridge)
    assert ["exit status 1" in error for error in errors] == [True] * 30


async def test_a_process_that_prints_among_the_frames_is_ended_at_once() -> None:
    async with start_bridge(TALKATIVE) as bridge:
        with pytest.raises(BridgeDied, match="not a frame: b'Started recording"):
            await bridge.request("basis", 0)


async def test_options_that_keep_a_jvm_from_starting_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    command = await bridge_command()
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:+UseSerialGC")
    async with start_bridge(command) as bridge:
        with pytest.raises(BridgeDied, match="Multiple garbage collectors selected") as caught:
            await bridge.request("basis", 0)
    assert "JAVA_TOOL_OPTIONS" in caught.value.hint
    assert "continues" not in caught.value.hint


async def test_a_jvm_that_has_too_little_memory_is_given_more(monkeypatch: pytest.MonkeyPatch) -> None:
    command = await bridge_command()
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx512m")
    place = {"storage-dir": ":mem", "system": "s", "db": "db", "create": True}
    too_much = "[:find ?n :where [(long-array 100000000) ?numbers] [(count ?numbers) ?n]]"
    async with start_bridge(command) as bridge:
        handle, *_ = await bridge.request("open", place)
        with pytest.raises(BridgeDied, match="OutOfMemoryError") as caught:
            await bridge.request("query", handle, None, too_much, [])
    assert "-Xmx" in caught.value.hint


async def test_a_connector_outlives_its_jvm(tmp_path: Path) -> None:
    uri = f"datomic:local://s/db?storage-dir={tmp_path}"
    async with open_connector() as connector:
        database = await connector.open(uri, create=True)
        await database.transact_edn(["[]"])
        psutil.Process((await connector.bridge("local")).pid).kill()
        with pytest.raises(BridgeDied):
            await database.basis_t()
        again = await connector.open(uri)
        assert await again.basis_t() == 6
        with pytest.raises(BridgeDied):
            await database.basis_t()


async def test_the_jvm_ends_when_its_stdin_does() -> None:
    async with start_bridge(await bridge_command()) as bridge:
        await bridge.request("databases", {"storage-dir": ":mem", "system": "s"})
        jvm = psutil.Process(bridge.pid)
    assert not jvm.is_running()


async def test_a_directory_of_any_letters_in_the_locale_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    async with open_connector() as connector:
        await connector.open(f"datomic:local://süd/größe?storage-dir={tmp_path}/é 中", create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["é 中"]
    assert (tmp_path / "é 中" / "süd" / "größe").is_dir()


async def test_a_cancelled_request_leaves_the_bridge_usable(new_database: NewDatabase) -> None:
    database = await new_database(SCHEMA)
    for _ in range(20):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await database.basis_t()
    assert await database.basis_t() == 6


async def test_a_request_that_could_not_be_sent_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncrestore.datomic.bridge.CLOSE_TIMEOUT_S", 0.1)
    large = "x" * 1_000_000  # more than a pipe holds
    async with start_bridge(DEAF) as bridge:
        for _ in range(5):
            with anyio.move_on_after(0.01) as scope:
                await bridge.request("basis", large)
            assert scope.cancelled_caught
        monkeypatch.setattr("asyncrestore.datomic.bridge.REQUEST_TIMEOUT_S", 0.01)
        with pytest.raises(Unavailable, match="taken no request"):
            await bridge.request("basis", large)
        assert not bridge._open


async def test_errors_of_the_engine_keep_their_kind(connector: Connector, new_database: NewDatabase) -> None:
    with pytest.raises(NotFound, match="no database nowhere"):
        await connector.open("datomic:local://s/nowhere?storage-dir=:mem")
    with pytest.raises(AsyncRestoreError, match=":no/such"):
        await (await new_database()).transact_edn(['[{:no/such "attribute"}]'])
    bridge = await connector.bridge("local")
    with pytest.raises(AsyncRestoreError, match="Unknown operation"):
        await bridge.request("make-coffee", 0)


async def test_a_directory_that_cannot_be_used_is_told_with_the_reason(
    connector: Connector, tmp_path: Path
) -> None:
    (tmp_path / "s").write_text("a file")
    with pytest.raises(AsyncRestoreError, match=r"/s/db: Not a directory"):
        await connector.open(f"datomic:local://s/db?storage-dir={tmp_path}", create=True)


async def test_databases_of_a_system(connector: Connector) -> None:
    uri = "datomic:local://listing/{}?storage-dir=:mem"
    for name in ("b", "a"):
        await connector.open(uri.format(name), create=True)
    assert await connector.databases(uri.format("")) == ["a", "b"]


async def test_the_log_comes_in_pages_of_whole_transactions(new_database: NewDatabase) -> None:
    database = await new_database(SCHEMA, *PEOPLE)
    basis = await database.basis_t()
    _, whole = await database.read_log(0, basis + 1, size=1_000_000)
    start: int | None = 0
    seen = []
    while start is not None:
        start, page = await database.read_log(start, basis + 1, size=20)
        seen += list(page.transactions())
    assert [(tx.tx, tx.datoms) for tx in seen] == [(tx.tx, tx.datoms) for tx in whole.transactions()]
    assert [tx.t for tx in seen] == list(range(basis + 1))


async def test_a_page_ends_early_where_texts_are_long(new_database: NewDatabase) -> None:
    texts = [f'[{{:p/name "{letter * 4096}"}}]' for letter in "abcd"]
    database = await new_database(SCHEMA, *texts)
    start, end = await database.basis_t() - 3, await database.basis_t() + 1
    next_t, page = await database.read_log(start, end, size=66)
    assert (next_t, len(page), page.weight) == (start + 1, 2, 66), (
        "its instant, and the text's 64 times 64 characters"
    )
    next_t, page = await database.read_log(start, end, size=67)
    assert (next_t, page.weight) == (start + 2, 132)


async def test_the_range_of_a_page_is_half_open(new_database: NewDatabase) -> None:
    database = await new_database(SCHEMA, *PEOPLE)
    next_t, page = await database.read_log(7, 9, size=1_000_000)
    assert next_t is None
    assert [tx.t for tx in page.transactions()] == [7, 8]
    assert await database.read_log(500, 600, size=10) == (None, type(page)())


async def test_half_a_character_is_refused_not_changed(new_database: NewDatabase) -> None:
    database = await new_database(SCHEMA, '[{:p/name "\\ud800x"}]')
    with pytest.raises(AsyncRestoreError, match="half a character"):
        await database.read_log(0, 100, size=1000)


async def test_query_with_arguments_and_as_of(new_database: NewDatabase) -> None:
    database = await new_database(SCHEMA, *PEOPLE[:2], VALUES_SCHEMA, VALUES)
    query = "[:find ?name ?tag :in $ ?mail :where [?e :p/email ?mail] [?e :p/name ?name] [?e :p/tags ?tag]]"
    now = await database.query(query, '"ann@x"')
    assert sorted(now, key=str) == [("Anne", Keyword("y")), ("Anne", Keyword("z"))]
    assert await database.query(query, '"ann@x"', as_of_ms=0) == []


async def test_a_value_that_java_has_not_fails_its_own_transaction_only(new_database: NewDatabase) -> None:
    database = await new_database(VALUES_SCHEMA)
    before = await database.basis_t()
    entity, attribute = positions.tempid(1), positions.ident("v/bigdec")

    def transaction(number: int, decimal: str) -> TxData:
        return TxData(number, [entity, attribute, "m", decimal], [])

    submission = await database.submit(
        [transaction(1, "1.5"), transaction(2, "2.5"), transaction(3, "many"), transaction(4, "4.5")]
    )
    result = await submission.result()

    assert len(result.committed) == 2
    assert await database.basis_t() == before + 2
    assert result.anomaly is not None
    assert result.anomaly.category == "incorrect"
