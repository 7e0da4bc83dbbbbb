"""Kills a job at each point where it touches the disk, and looks at what it leaves.

    python -m tests.killing JOB RECORDED-DATABASE STORE

A program of its own: it forks, which a process with threads must not.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.verify import verify
from asyncrestore.stores import filesystem
from tests.damage import NAME
from tests.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SIZE = 10


def arm(point: int) -> None:
    """Lets this process kill itself at that point: before or after a step, or with half of a file written."""
    steps = itertools.count()

    def reached() -> bool:
        return next(steps) == point

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def around(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if reached():
                die()
            answer = step(*arguments, **options)
            if reached():
                die()
            return answer

        return run

    def write(path: Path, data: bytes) -> None:
        if reached():
            path.write_bytes(data[: len(data) // 2])
            die()
        original(path, data)

    original = filesystem._write_durably
    filesystem._write_durably = write
    os.fsync, os.link = around(os.fsync), around(os.link)
    pathlib.Path.unlink = around(pathlib.Path.unlink)  # type: ignore[method-assign]


def fork(run: Callable[[], Coroutine[Any, Any, object]], point: int | None = None) -> bool:
    """Runs a job in a process of its own; whether it came to its end."""
    child = os.fork()
    if not child:
        try:
            if point is not None:
                arm(point)
            anyio.run(run)
        except BaseException:  # noqa: BLE001 - the child must not go on with what is the parent's
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in {0, -signal.SIGKILL}:
        sys.exit(f"the job failed: {code}")
    return code == 0


def objects(store: Path) -> dict[str, bytes]:
    """What a listing of the store shows."""
    folder = store / NAME
    files = [path for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []
    return {path.name: path.read_bytes() for path in files}


async def job(name: str, database: Path, prepared: Path, store: Path) -> None:
    """One of the jobs; `database` is as far as they look a `Database`."""
    if name == "backup":
        await backup(recorded(database), str(store), name=NAME, segment_size=SIZE)  # type: ignore[arg-type]
    elif name == "repair":
        report = await repair(recorded(database), str(store), name=NAME, segment_size=SIZE)  # type: ignore[arg-type]
        assert report.ok, report
    elif name == "copy":
        copied = await copy(str(prepared), str(store))
        assert copied.ok, copied
    else:
        await compact(str(store), segment_size=SIZE)


def main(name: str, database: Path, prepared: Path) -> int:
    """Kills the job at its first point, its second, and so on, until it comes to its end unharmed."""

    async def run() -> None:
        await job(name, database, prepared, store)

    async def check() -> None:
        report = await verify(str(store))
        assert report.ok, report.problems

    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "store"

        def fresh() -> None:
            shutil.rmtree(store, ignore_errors=True)
            if name in {"repair", "compact"}:
                shutil.copytree(prepared, store)
            else:
                store.mkdir()

        fresh()
        assert fork(run)
        whole = objects(store)
        assert fork(check)
        for point in itertools.count():
            fresh()
            ended = fork(run, point)
            left = objects(store)
            assert left.items() <= whole.items(), f"point {point}: only whole objects"
            if name == "compact":
                assert fork(check), f"point {point}: a reader has all of it at every moment"
            assert fork(run), f"point {point}: the rerun makes it whole"
            assert objects(store) == whole, f"point {point}"
            if ended:
                return point
    raise AssertionError("count() has no end")


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))}\n")
