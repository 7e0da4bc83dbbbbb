"""Suite `cloud`: Datomic's own client and the tests' server of its protocol, behind a network with jitter."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from anyio.from_thread import start_blocking_portal

from bench.children import python
from bench.figures import Figures
from bench.restores import restored
from tests.support.cloud.server import CloudServer, open_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.children import Result
    from bench.plan import Plan
    from bench.sources import Backup, Source

NETWORKS_MS = ((0, 0), (5, 0), (5, 5), (20, 3))
"""Round trip and jitter of each network."""

SIDES = {"restore": 1024, "waiting": 1}
"""Transactions in flight, at most."""

ROUNDS = 2
"""The second one is measured: in the first the client's code is compiled, some 15 s of processor time."""


def measure(source: Source, plan: Plan) -> Figures:
    """Measures; raises `BenchError` when a run fails."""
    backup = source.first(plan.first)
    figures = Figures(
        "cloud", f"{source.title}, the first {backup.transactions:,}; Datomic's client of Cloud"
    )
    with _server() as server:
        for repeat in range(plan.repeats):
            for round_trip_ms, jitter_ms in NETWORKS_MS:
                network = f"{round_trip_ms} ms, jitter {jitter_ms} ms"
                for side, in_flight in SIDES.items():
                    db = f"{side}-{repeat}-{round_trip_ms}-{jitter_ms}-"
                    server.set_faults(latency_ms=round_trip_ms, jitter_ms=jitter_ms, seed=repeat)
                    figures.add(
                        f"{side}, {network}", _restored(f"{side}, {network}", server, backup, db, in_flight)
                    )
                server.set_faults(latency_ms=round_trip_ms, jitter_ms=jitter_ms, seed=repeat)
                figures.add(
                    f"backup, {network}",
                    _backed_up(server, f"restore-{repeat}-{round_trip_ms}-{jitter_ms}-0"),
                )
    for round_trip_ms, jitter_ms in NETWORKS_MS:
        network = f"{round_trip_ms} ms, jitter {jitter_ms} ms"
        restore, waiting = (figures.rates(f"{side}, {network}", "warm_seconds") for side in SIDES)
        figures.row(f"restore, {network}, transactions/s", restore)
        figures.row(
            f"posts of a transaction, {network}",
            [run["posts"] for run in figures.runs[f"restore, {network}"]],
            "{:.2f}",
        )
        figures.ratio(f"restore / restore that waits for each, {network}", restore, waiting)
        figures.rate(f"backup, {network}", f"backup, {network}")
    return figures


@contextmanager
def _server() -> Iterator[CloudServer]:
    with (
        TemporaryDirectory() as directory,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_server(Path(directory))) as server,
    ):
        yield server


def _restored(what: str, server: CloudServer, backup: Backup, db: str, in_flight: int) -> Result:
    done = restored(
        what,
        backup,
        server.uri(db),
        rounds=ROUNDS,
        in_flight=in_flight,
        environment=server.client_environment(),
    )
    # A restore also installs its bookkeeping, by two transactions.
    done["posts"] = server.counts()["posts"]["transact"] / (ROUNDS * (done["transactions"] + 2))
    return done


def _backed_up(server: CloudServer, db: str) -> Result:
    """A backup of a database that a restore made, with its bookkeeping."""
    with TemporaryDirectory() as store:
        environment = server.client_environment()
        return python(f"backup of {db}", "backup", environment, uri=server.uri(db), store=store, limit=None)
