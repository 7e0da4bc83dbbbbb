"""One measured piece of work in a Python process of its own, so that its peak memory is its own.

`python -m bench.worker KIND ARGUMENTS`, the arguments as a JSON object; prints one line of JSON.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
from contextlib import asynccontextmanager
from importlib import resources
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from asyncrestore.datomic.checked import CheckedDatabase
from asyncrestore.datomic.database import open_connector
from asyncrestore.errors import AsyncRestoreError
from asyncrestore.history.base import PAGE_WEIGHT
from asyncrestore.history.live import LiveHistory
from asyncrestore.jobs.backup import backup, fill
from asyncrestore.jobs.copy import copy
from asyncrestore.jobs.info import info
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import Faults, faulty_database
from bench.frequent import continued, increments
from bench.network import measured_round_trip_ms
from bench.recording import EndingAt, Recorded
from bench.synthetic import generate
from bench.tenths import Tenths

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncrestore.datomic.base import Database
    from bench.children import Result

LOAD_BATCH = 200


def peak_mb(whose: int = resource.RUSAGE_SELF) -> float:
    """The most memory that this process has had so far, in MB; with `RUSAGE_CHILDREN` one that it started."""
    # macOS counts bytes, others kilobytes.
    return resource.getrusage(whose).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


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
    """Backs a database up, or only the first `limit` of its own transactions."""
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


async def checked(store: str, uri: str, rounds: int) -> Result:
    """Backs a restored database up, in turn with its log held against an index and without."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    async with open_connector() as connector:
        database = await connector.open(uri, create=True)
        await restore(store, database)
        sources: list[Database] = [CheckedDatabase(database), database]
        for source in sources * rounds:
            report = await fill(
                source, MemoryStore(), "db", segment_size=10_000, parallel=3, on_progress=lambda _: None
            )
            seconds[isinstance(source, CheckedDatabase)].append(report.seconds)
    return {"checked_seconds": seconds[True], "unchecked_seconds": seconds[False]}


async def run_restore(
    store: str,
    uri: str,
    rounds: int = 1,
    *,
    warm_up: bool = False,
    network: dict[str, Any] | None = None,
    count: bool = False,
    in_flight: int = 1024,
    id_cache_size: int = 2_000_000,
) -> Result:
    """Restores into a new database, and again into others in the same JVM: the first round is a cold one.

    Args:
        store: its directory or URI.
        uri: of the targets; a number is put behind the name of each.
        rounds: how many times.
        warm_up: restore once before, at full speed and not measured.
        network: arguments of the `Faults` before the target; None for no network.
        count: also count the datoms in the last target's log.
        in_flight: as `restore`.
        id_cache_size: as `restore`.
    """
    base, mark, options = uri.partition("?")
    reports, tenths, peak = [], [], 0.0
    async with open_connector() as connector:
        if warm_up:
            await restore(store, await connector.open(f"{base}-warm{mark}{options}", create=True))
        for number in range(rounds):
            database = await connector.open(f"{base}{number}{mark}{options}", create=True)
            async with _behind(network, database) as target:
                clock = Tenths()
                report = await restore(
                    store, target, in_flight=in_flight, id_cache_size=id_cache_size, on_progress=clock
                )
            reports.append(report)
            tenths.append(clock.seconds())
            peak = peak or peak_mb()
        cache = reports[0].id_cache
        return {
            "seconds": reports[0].seconds,
            "warm_seconds": reports[-1].seconds,
            "tenths": tenths[0],
            "warm_tenths": tenths[-1],
            "transactions": reports[0].transactions,
            "cache_hits": cache.hits,
            "cache_misses": cache.misses,
            "peak_mb": peak,
            "log_datoms": await count_datoms(database) if count else None,
        }


@asynccontextmanager
async def _behind(network: dict[str, Any] | None, database: Database) -> AsyncIterator[Database]:
    """The database behind a network, or as it is."""
    if network is None:
        yield database
    else:
        async with faulty_database(database, Faults(**network)) as far:
            yield far


async def record(store: str, uri: str, file: str) -> Result:
    """Restores into a new database and writes what was committed to a file, for the ceiling."""
    async with open_connector() as connector:
        with await anyio.to_thread.run_sync(Path(file).open, "wb") as output:
            target = Recorded(await connector.open(uri, create=True), output)
            await restore(store, target)
        return {"recorded": target.transactions}


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


async def run_job(job: str, **arguments: Any) -> Result:
    """Runs the function behind a command with all that it needs, from starting the JVM to its end."""
    started = monotonic()
    report = await JOBS[job](**arguments)
    return {
        "seconds": monotonic() - started,
        "ok": getattr(report, "ok", True),
        "peak_mb": peak_mb(),
        "jvm_peak_mb": peak_mb(resource.RUSAGE_CHILDREN),
    }


async def run_copy(store: str, other: str) -> Result:
    """Copies a store into another one."""
    report = await copy(store, other)
    if not report.ok:
        raise AsyncRestoreError(f"The copy is not whole: {report.problems or report.verified}")
    return {"seconds": report.seconds, "segments": len(report.segments)}


async def round_trips(networks: dict[str, dict[str, Any]]) -> Result:
    """How long the way to a database that does nothing takes, in milliseconds: the median of some."""
    return {name: await measured_round_trip_ms(Faults(**network)) for name, network in networks.items()}


async def first_answer() -> Result:
    """From nothing to the first answer of a bridge that was built before: an open database and its t."""
    started = monotonic()
    async with open_connector() as connector:
        database = await connector.open("datomic:local://bench/first?storage-dir=:mem", create=True)
        await database.basis_t()
        return {"seconds": monotonic() - started}


async def count_datoms(database: Database) -> int:
    """Returns the number of datoms in the log, with the bootstrap."""
    count, start, end = 0, 0, await database.basis_t() + 1
    at: int | None = start
    while at is not None:
        at, chunk = await database.read_log(at, end, size=PAGE_WEIGHT)
        count += len(chunk)
    return count


JOBS: dict[str, Callable[..., Awaitable[object]]] = {
    "info": info,
    "backup": backup,
    "restore": restore,
    "verify": verify,
}

KINDS: dict[str, Callable[..., Awaitable[Result]]] = {
    "load-demo": load_demo,
    "backup": run_backup,
    "checked": checked,
    "restore": run_restore,
    "record": record,
    "verify": run_verify,
    "job": run_job,
    "copy": run_copy,
    "generate": generate,
    "increments": increments,
    "continued": continued,
    "round-trips": round_trips,
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
