"""Sides that several suites compare: a restore, the ceiling, the predecessor's algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.children import BenchError, python
from bench.sources import Target, local

if TYPE_CHECKING:
    from pathlib import Path

    from bench.children import Jvm, Result
    from bench.sources import Backup, Recording, Source

ROUNDS = 3
"""Replays or restores of a JVM in memory: the first is cold, the last is as in a long restore."""

MEMORY = local(":mem", "target")
PEER = "datomic:mem://target"


def restored(what: str, backup: Backup, uri: str = MEMORY, **options: Any) -> Result:
    """A restore in a process of its own; `options` as `worker.run_restore`. Raises `BenchError`."""
    options = {"store": str(backup.path), **options}
    return _checked(python(f"restore, {what}", "restore", uri=uri, **options), backup.transactions)


def ceiling(what: str, jvm: Jvm, backup: Backup, recording: Recording, storage: str, rounds: int) -> Result:
    """The recorded transactions in a plain loop. Raises `BenchError`."""
    done = jvm(f"ceiling, {what}", "ceiling", recording.path, storage, "target", rounds)
    # A restore, too, installs its bookkeeping within its time, and does not count it.
    done["transactions"] -= recording.bookkeeping
    return _checked(done, backup.transactions)


def predecessor(
    source: Source,
    place: str,
    limit: int,
    round_trip_ms: float = 0.0,
    rounds: int = 1,
    jvm: Jvm | None = None,
) -> Result:
    """The predecessor's algorithm with the first transactions.

    Args:
        source: the database whose transactions are restored.
        place: `memory` or `disk`.
        limit: number of transactions, or all if there are fewer.
        round_trip_ms: milliseconds from a request to its answer, in the last round.
        rounds: number of restores in one JVM.
        jvm: of the target's engine, if that is not the source's.

    Raises:
        BenchError: it failed.
    """
    limit = min(limit, source.backup.transactions)
    with Target(source.scratch, place) as storage:
        arguments = (source.for_predecessor, storage, limit, round_trip_ms, rounds)
        what = f"predecessor, {place}, {limit} transactions, {round_trip_ms:g} ms"
        jvm = jvm or source.jvm
        return _checked(jvm(what, "predecessor", *arguments, after=(f"target_{jvm.engine}",)), limit)


def check_same(what: str, loop: Result, ours: Result) -> None:
    """Raises `BenchError` if the ceiling and a restore wrote different numbers of datoms."""
    if loop["log_datoms"] != ours["log_datoms"]:
        raise BenchError(
            f"{what}: the logs differ, the ceiling's has {loop['log_datoms']} datoms, the restore's "
            f"{ours['log_datoms']}"
        )


def pair(
    what: str, jvm: Jvm, backup: Backup, recording: Recording, scratch: Path, place: str, rounds: int
) -> tuple[Result, Result]:
    """The ceiling and a restore, into new targets."""
    with Target(scratch, place) as storage:
        loop = ceiling(what, jvm, backup, recording, storage, rounds)
    with Target(scratch, place) as storage:
        ours = restored(what, backup, local(storage, "target"), rounds=rounds, count=True)
    check_same(what, loop, ours)
    return loop, ours


def _checked(result: Result, transactions: int) -> Result:
    if result["transactions"] != transactions:
        raise BenchError(f"{result['transactions']} transactions instead of {transactions}")
    return result
