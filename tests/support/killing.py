"""Kills a job at each point where it touches the disk or writes to S3, and checks what it leaves.

    python -m tests.support.killing JOB RECORDED-DATABASE BACKUP PLACE SEGMENT-SIZE

A program of its own: it forks, which a process with threads must not.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import traceback
from asyncio import selector_events
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.lowlevel
import boto3

from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.compact import compact
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.repair import repair
from asyncrestore.jobs.verify import verify
from asyncrestore.segments import lineage
from asyncrestore.stores import filesystem, open_store
from asyncrestore.stores.s3.store import S3Store
from tests.support.damage import NAME
from tests.support.recorded import recorded
from tests.support.sdk import share_models

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


ID = UUID("6fa459ea-ee8a-4ca4-894e-db77e160355e")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: int) -> None:
    """Lets this process kill itself at that point: before or after a step, or with half of it written."""
    steps = itertools.count()

    def reached() -> bool:
        return next(steps) == point

    arm_directory(reached)
    arm_s3(reached)


def arm_directory(reached: Callable[[], bool]) -> None:
    def around(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if reached():
                die()
            answer = step(*arguments, **options)
            if reached():
                die()
            return answer

        return run

    def write(folder: int, name: str, data: bytes, mode: int) -> None:
        if reached():
            original(folder, name, data[: len(data) // 2], mode)
            die()
        original(folder, name, data, mode)

    original = filesystem._write_durably
    filesystem._write_durably = write
    os.fsync, os.link = around(os.fsync), around(os.link)
    os.unlink = around(os.unlink)


def arm_s3(reached: Callable[[], bool]) -> None:
    async def put(*arguments: Any, **options: Any) -> None:
        if reached():
            die()
        if reached():
            cut_upload()
        await upload(*arguments, **options)
        if reached():
            die()

    upload = S3Store._put
    S3Store._put = put  # type: ignore[method-assign]


def cut_upload() -> None:
    """Lets the process end with half of the next request's body on its way."""
    transport = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = transport.write

    def write_half(self: Any, data: Any) -> None:
        headers, end, body = bytes(data).partition(b"\r\n\r\n")
        if headers.startswith(b"PUT ") and not body:
            write(self, data)
            return
        content = body if end else bytes(data)
        self._sock.send(headers + end + body[: len(body) // 2] if end else content[: len(content) // 2])
        die()

    transport.write = write_half


def fork(run: Callable[[], Coroutine[Any, Any, object]], point: int | None = None) -> bool:
    """Runs a job in a process of its own; returns whether it came to its end."""
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


class Directory:
    """A store in a directory, made anew for each point."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def fresh(self, prepared: dict[str, bytes]) -> None:
        """Empties it, and puts these objects into the backup."""
        shutil.rmtree(self.uri, ignore_errors=True)
        folder = Path(self.uri, NAME)
        (folder if prepared else folder.parent).mkdir(parents=True)
        for key, data in prepared.items():
            (folder / key).write_bytes(data)

    def objects(self) -> dict[str, bytes]:
        """What a listing of the store shows of the backup."""
        files = [path for path in Path(self.uri).glob(f"{NAME}/*") if path.name[0] != "."]
        return {path.name: path.read_bytes() for path in files}


class Prefix:
    """A store on S3; `AWS_ENDPOINT_URL` names the server. Each point has a prefix of its own."""

    def __init__(self, uri: str) -> None:
        self._base = uri
        self._bucket = uri.split("/")[2]
        self._numbers = itertools.count()
        share_models()
        self._client = boto3.client("s3")
        self.uri = uri
        anyio.run(self._open)  # as in `main`

    async def _open(self) -> None:
        async with open_store(self.uri):
            pass

    def fresh(self, prepared: dict[str, bytes]) -> None:
        self.uri = f"{self._base}/{next(self._numbers)}"
        for key, data in prepared.items():
            self._client.put_object(Bucket=self._bucket, Key=f"{self._folder()}{key}", Body=data)

    def objects(self) -> dict[str, bytes]:
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._folder())
        return {
            each["Key"].removeprefix(self._folder()): self._get(each["Key"])
            for each in found.get("Contents", [])
        }

    def _get(self, key: str) -> bytes:
        data: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return data.replace(self.uri.encode(), self._base.encode())  # a reason names the store

    def _folder(self) -> str:
        return self.uri.split("/", 3)[3] + f"/{NAME}/"


async def job(name: str, database: Path, prepared: str, store: str, size: int) -> None:
    """Runs one of the jobs; `database` has as much of `Database` as they use."""
    if name == "backup":
        await backup(recorded(database), store, name=NAME, segment_size=size, parallel=1)
    elif name == "repair":
        report = await repair(recorded(database), store, name=NAME, segment_size=size, parallel=1)
        assert report.ok, report
    elif name == "copy":
        copied = await copy(prepared, store, parallel=1)
        assert copied.ok, copied
    else:
        await compact(store, segment_size=size)


def main(name: str, database: Path, prepared: str, place: str, size: int) -> int:
    """Kills the job at its first point, its second, and so on, until it comes to its end unharmed.

    Args:
        name: of the job.
        database: a recorded one.
        prepared: a directory with a backup, from which the job starts.
        place: a directory or a prefix on S3, for the stores on which it works.
        size: of its segments.
    """
    lineage.uuid4 = lambda: ID  # type: ignore[attr-defined]  # each run makes the same objects
    anyio.run(anyio.lowlevel.checkpoint)  # what that imports need not be imported by each child
    store = Prefix(place) if place.startswith("s3:") else Directory(place)
    begin = Directory(prepared).objects() if name in {"repair", "compact"} else {}

    async def run() -> None:
        await job(name, database, prepared, store.uri, size)

    async def check() -> None:
        report = await verify(store.uri)
        assert report.ok, report.problems

    store.fresh(begin)
    assert fork(run)
    whole = store.objects()
    assert fork(check)
    for point in itertools.count():
        store.fresh(begin)
        ended = fork(run, point)
        left = store.objects()
        assert left.items() <= whole.items(), f"point {point}: only whole objects"
        if name == "compact":
            assert fork(check), f"point {point}: a reader has all of it at every moment"
        assert fork(run), f"point {point}: the rerun makes it whole"
        assert store.objects() == whole, f"point {point}"
        if ended:
            return point
    raise AssertionError("count() has no end")


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))}\n")
