"""One measured piece of work in a Python process of its own, so that its peak memory is its own.

`python -m bench.worker KIND ARGUMENTS`, the arguments as a JSON object; prints one line of JSON.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
from importlib import resources
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import AsyncRestoreError
from asyncrestore.history import PAGE_DATOMS, LiveHistory
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from bench.recording import EndingAt, Recorded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.base import Database

Result = dict[str, Any]

LOAD_BATCH = 200


def peak_mb() -> float:
    """The most memory that this process has had so far, without the JVM, which is another process; in MB."""
    # macOS counts bytes, others kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


async def load_demo(uri: str) -> Result:
    """Makes a database of the demo's history."""
    data = resources.files("asyncrestore.demo").joinpath("musicbrainz.edn.gz").read_bytes()
    lines = iter(gzip.decompress(data).decode().splitlines())
    async with open_connector() as connector:
        database = await connector.open(uri, create=True)
        count = 0
        while batch := list(islice(lines, LOAD_BATCH)):
            count += len(await database.transact_edn(batch))
    return {"transactions": count}


async def run_backup(uri: str, store: str, limit: int | None) -> Result:
    """Backs a database up; only its first `limit` transactions of its own if there is one."""
    async with open_connector() as connector:
        database: Database = await connector.open(uri)
        history = await LiveHistory.open(database)
        if limit is not None:
            # Datomic Local's t has no holes.
            database = EndingAt(database, min(history.end - 1, history.bootstrap_t + limit))
        report = await backup(database, store)
        return {
            "seconds": report.seconds,
            "transactions": report.transactions,
            "restorable": report.end - 1 - history.bootstrap_t,
            "datoms": report.datoms,
            "store_mb": report.bytes / 1e6,
            "peak_mb": peak_mb(),
        }


async def run_restore(store: str, uri: str, rounds: int) -> Result:
    """Restores into a new database, and again into another in the same JVM: the first round is a cold one."""
    base, _, options = uri.partition("?")
    async with open_connector() as connector:
        reports = []
        for number in range(rounds):
            target = await connector.open(f"{base}{number}?{options}", create=True)
            reports.append(await restore(store, target))
        report = reports[0]
        result = {
            "seconds": report.seconds,
            "warm_seconds": reports[-1].seconds,
            "transactions": report.transactions,
            "cache_hits": report.id_cache.hits,
            "cache_misses": report.id_cache.misses,
            "peak_mb": peak_mb(),
        }
        return {**result, "log_datoms": await count_datoms(target)}


async def record(store: str, uri: str, file: str) -> Result:
    """Restores into a new database and writes what was committed to a file, for the ceiling."""
    async with open_connector() as connector:
        with await anyio.to_thread.run_sync(Path(file).open, "wb") as output:
            target = Recorded(await connector.open(uri, create=True), output)
            await restore(store, target)
        return {"recorded": target.transactions, "log_datoms": await count_datoms(target)}


async def run_verify(store: str, against: str | None) -> Result:
    """Verifies a store by itself, or a target against it."""
    async with open_connector() as connector:
        # Opened before, so that the start of the JVM is not in the time.
        target = None if against is None else await connector.open(against)
        report = await verify(store, against=target)
        report.raise_for_problems()
        return {
            "seconds": report.seconds,
            "transactions": report.transactions,
            "datoms": report.datoms,
            "peak_mb": peak_mb(),
        }


async def first_answer() -> Result:
    """From nothing to the first answer of a bridge that was built before: an open database and its t."""
    started = monotonic()
    async with open_connector() as connector:
        database = await connector.open("datomic:local://bench/first?storage-dir=:mem", create=True)
        await database.basis_t()
        return {"seconds": monotonic() - started}


async def count_datoms(database: Database) -> int:
    """How many datoms the log has, of the first transactions on."""
    count, start, end = 0, 0, await database.basis_t() + 1
    at: int | None = start
    while at is not None:
        at, chunk = await database.read_log(at, end, size=PAGE_DATOMS)
        count += len(chunk)
    return count


KINDS: dict[str, Callable[..., Awaitable[Result]]] = {
    "load-demo": load_demo,
    "backup": run_backup,
    "restore": run_restore,
    "record": record,
    "verify": run_verify,
    "first-answer": first_answer,
}


def main() -> int:
    kind, arguments = sys.argv[1], json.loads(sys.argv[2])

    async def work() -> Result:
        return await KINDS[kind](**arguments)

    try:
        # The event loop that the command line has.
        result = anyio.run(work, backend_options={"use_uvloop": sys.platform != "win32"})
    except AsyncRestoreError as error:
        print(f"{type(error).__name__}: {error} {error.hint}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
