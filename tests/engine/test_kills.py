"""Killed wherever they touch a directory or write to S3, the jobs leave nothing that a rerun cannot mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread

from asyncrestore.jobs.backup import backup
from tests.histories import ODD
from tests.support.damage import NAME
from tests.support.recorded import record

if TYPE_CHECKING:
    from tests.support.databases import NewDatabase
    from tests.support.s3 import Bucket

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(600),  # hundreds of processes: a busy machine takes minutes
    pytest.mark.skipif(sys.platform == "win32", reason="it has no fork, and no SIGKILL"),
]


# How often each is killed at least: before and after each step, and with half of a file or request written.
ON_DISK = {"backup": 35, "repair": 25, "copy": 35, "compact": 25}
ON_S3 = {"backup": 11, "repair": 14, "copy": 11, "compact": 11}


async def prepare(new_database: NewDatabase, tmp_path: Path, job: str, segment_size: int) -> list[str]:
    """What the program needs: a database's log, and a backup of it, damaged if it is to be repaired."""
    source, log, store = await new_database(*ODD), tmp_path / "log", tmp_path / "prepared"
    await record(source, log)
    await backup(source, str(store), name=NAME, segment_size=segment_size)
    if job == "repair":
        segments = sorted((store / NAME).glob("*.parquet"))
        segments[0].write_bytes(b"")
        segments[1].unlink()
    return [job, str(log), str(store)]


async def killed(arguments: list[str]) -> int:
    """Returns how many times the job was killed, each time with a rerun that made it whole."""

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.support.killing", *arguments]
        root = Path(__file__).parents[2]
        return subprocess.run(command, capture_output=True, text=True, timeout=580, check=False, cwd=root)

    ran = await to_thread.run_sync(run)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.parametrize("job", ON_DISK)
async def test_killed_at_every_point(new_database: NewDatabase, tmp_path: Path, job: str) -> None:
    prepared = await prepare(new_database, tmp_path, job, 5 if job == "compact" else 10)
    assert await killed([*prepared, str(tmp_path / "store"), "10"]) >= ON_DISK[job]


@pytest.mark.parametrize("job", ON_S3)
async def test_killed_at_every_point_on_s3(
    new_database: NewDatabase, tmp_path: Path, moto_bucket: Bucket, aws: pytest.MonkeyPatch, job: str
) -> None:
    """Fewer segments: here each point costs more, and all are made alike."""
    aws.setenv("AWS_ENDPOINT_URL", moto_bucket.endpoint)
    prepared = await prepare(new_database, tmp_path, job, 10 if job == "compact" else 20)
    assert await killed([*prepared, f"s3://{moto_bucket.name}/kills", "20"]) >= ON_S3[job]
