"""Killed at each point where they touch a directory, the jobs leave nothing that a rerun cannot mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from asyncrestore.jobs.backup import backup
from tests.damage import NAME
from tests.histories import ODD
from tests.recorded import record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.database import BridgeDatabase

    NewDatabase = Callable[..., Awaitable[BridgeDatabase]]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="it has no fork, and no SIGKILL"),
]


@pytest.mark.parametrize(
    ("job", "segment_size", "points"),
    [("backup", 10, 35), ("repair", 10, 20), ("copy", 10, 35), ("compact", 5, 20)],
)
async def test_killed_at_every_point(
    new_database: NewDatabase, tmp_path: Path, job: str, segment_size: int, points: int
) -> None:
    source, log, store = await new_database(*ODD), tmp_path / "log", tmp_path / "store"
    await record(source, log)
    await backup(source, str(store), name=NAME, segment_size=segment_size)
    if job == "repair":
        segments = sorted((store / NAME).iterdir())
        segments[0].write_bytes(b"")
        segments[1].unlink()

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.killing", job, str(log), str(store)]
        root = Path(__file__).parents[2]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=root)

    ran = await to_thread.run_sync(run)

    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) >= points, "how often it was killed"
