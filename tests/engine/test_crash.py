"""Killed at any moment, the same command continues, and the history is exact."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from importlib import resources
from typing import TYPE_CHECKING

import psutil
import pytest
from anyio import to_thread

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.verify import verify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncrestore.datomic.database import BridgeDatabase, Connector

    NewDatabase = Callable[..., Awaitable[BridgeDatabase]]

pytestmark = pytest.mark.anyio

TRANSACTIONS = 700


def demo_transactions() -> list[str]:
    """The first transactions of the demo's data."""
    data = resources.files("asyncrestore.demo").joinpath("musicbrainz.edn.gz").read_bytes()
    return gzip.decompress(data).decode().splitlines()[:TRANSACTIONS]


@pytest.fixture(scope="session")
async def store(connector: Connector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of real data."""
    database = await connector.open("datomic:local://tests/crash?storage-dir=:mem", create=True)
    await database.transact_edn(await to_thread.run_sync(demo_transactions))
    path = tmp_path_factory.mktemp("store")
    await backup(database, str(path), segment_size=250)
    return path


def start(store: Path, target: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "asyncrestore", "--json", "restore", str(store), target]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_restoring(restore: subprocess.Popen[str]) -> int:
    """Reads the status lines until transactions are in the target; answers how many."""
    assert restore.stdout is not None
    for line in restore.stdout:
        transactions = json.loads(line).get("transactions", 0)
        if transactions:
            return int(transactions)
    pytest.fail("the restore ended before it said how far it was")


def kill_command(restore: subprocess.Popen[str]) -> None:
    """SIGKILL to the command; its JVM must not outlive it."""
    (jvm,) = psutil.Process(restore.pid).children()
    restore.kill()
    restore.communicate(timeout=10)
    jvm.wait(10)


def kill_jvm(restore: subprocess.Popen[str]) -> None:
    """SIGKILL to the JVM only; the command must end with an error that says so."""
    (jvm,) = psutil.Process(restore.pid).children()
    jvm.kill()
    _, stderr = restore.communicate(timeout=30)
    assert restore.returncode == 14, stderr
    assert "Traceback" not in stderr
    assert "ended (exit status -9)" in json.loads(stderr.splitlines()[-1])["message"]


@pytest.mark.parametrize("kill", [kill_command, kill_jvm])
async def test_killed_restore_continues(
    connector: Connector, store: Path, tmp_path: Path, kill: Callable[[subprocess.Popen[str]], None]
) -> None:
    target = f"datomic:local://system/copy?storage-dir={tmp_path}"

    def run() -> tuple[int, int, str]:
        killed = start(store, target)
        before = wait_until_restoring(killed)
        kill(killed)
        again = start(store, target)
        stdout, stderr = again.communicate(timeout=60)
        assert again.returncode == 0, stderr
        return before, json.loads(stdout.splitlines()[-1])["transactions"], stderr

    before, after, _ = await to_thread.run_sync(run)

    assert before < TRANSACTIONS, "it was killed before its end"
    assert 0 < after <= TRANSACTIONS - before, "nothing restored before was restored again"
    report = await verify(str(store), against=await connector.open(target))
    assert report.problems == []
    assert report.transactions == TRANSACTIONS
