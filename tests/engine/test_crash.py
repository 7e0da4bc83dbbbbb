"""Killed in the middle, the same command continues, and the history is exact."""

from __future__ import annotations

import gzip
import json
import signal
from importlib import resources
from typing import TYPE_CHECKING

import psutil
import pytest
from anyio import to_thread

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.verify import verify
from tests.support.cli import run_cli
from tests.support.stopping import start_and_wait

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from asyncrestore.datomic.database import Connector

pytestmark = pytest.mark.anyio

TRANSACTIONS = 700

IN_FLIGHT, SUBMISSIONS = 128, 8
"""When the eighth submission is sent, at most four are unanswered: some transactions are committed."""
MOST_SENT = SUBMISSIONS * IN_FLIGHT // 4


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


def kill_command(stopped: subprocess.Popen[str]) -> None:
    """SIGKILL to the command; its JVM must not outlive it."""
    (jvm,) = psutil.Process(stopped.pid).children()
    stopped.kill()
    stopped.communicate(timeout=10)
    jvm.wait(10)


def kill_jvm(stopped: subprocess.Popen[str]) -> None:
    """SIGKILL to the JVM only; the command must end with an error that says so."""
    (jvm,) = psutil.Process(stopped.pid).children()
    jvm.kill()
    stopped.send_signal(signal.SIGCONT)
    _, stderr = stopped.communicate(timeout=30)
    assert stopped.returncode == 14, stderr
    assert "Traceback" not in stderr
    assert "ended (exit status -9)" in json.loads(stderr.splitlines()[-1])["message"]


@pytest.mark.parametrize("kill", [kill_command, kill_jvm])
async def test_killed_restore_continues(
    connector: Connector, store: Path, tmp_path: Path, kill: Callable[[subprocess.Popen[str]], None]
) -> None:
    target = f"datomic:local://system/copy?storage-dir={tmp_path}"
    restore = ["--json", "restore", str(store), target, "--in-flight", str(IN_FLIGHT)]

    def run() -> int:
        kill(start_and_wait(SUBMISSIONS, *restore))
        again = run_cli(restore)
        assert again.returncode == 0, again.stderr
        return int(json.loads(again.stdout.splitlines()[-1])["transactions"])

    restored = await to_thread.run_sync(run)

    assert TRANSACTIONS - MOST_SENT <= restored < TRANSACTIONS, "some before it was killed, the rest after"
    report = await verify(str(store), against=await connector.open(target))
    assert report.problems == []
    assert report.transactions == TRANSACTIONS
