"""What is measured, in which order: sides that are compared take turns, so that drift hits all of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from bench.children import DEADLINE_S, BenchError, progress, python

if TYPE_CHECKING:
    from bench.children import Jvm

ROUNDS = 3
"""In memory a JVM replays or restores so often: the first round is cold, the last as in a long restore."""

SEED_DURABLE = 2_000
"""The predecessor slows down with each transaction; its whole run on disk would take hours."""


@dataclass
class Shape:
    """A source and what was measured with it.

    Attributes:
        title: for people.
        storage: storage directory of the source.
        db: its database, in the system `bench`.
        transactions: of its own, to restore.
        datoms: in the backup.
        runs: for each side the results of its runs, in order; entries of one place were made in turn.
    """

    title: str
    storage: Path
    db: str
    transactions: int = 0
    datoms: int = 0
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The source's URI."""
        return local(self.storage, self.db)

    def add(self, side: str, result: dict[str, Any]) -> None:
        """Notes the result of a run."""
        self.runs.setdefault(side, []).append(result)


def local(storage: Path | str, db: str) -> str:
    return f"datomic:local://bench/{db}?storage-dir={storage}"


@dataclass
class Measuring:
    """Measures one shape.

    Attributes:
        shape: what is measured.
        jvm: runs programs in a JVM like the bridge's.
        scratch: an empty directory for stores and targets, on the disk that is to be measured.
        repeats: how often.
        limit: only that many of the source's first transactions.
    """

    shape: Shape
    jvm: Jvm
    scratch: Path
    repeats: int
    limit: int | None

    def run(self) -> None:
        """Measures everything; raises `BenchError` when a piece fails."""
        self._backups()
        recording = self.scratch / "recording"
        target = local(":mem", "recorded")
        recorded = python("record", "record", store=str(self.store), uri=target, file=str(recording))
        bookkeeping = recorded["recorded"] - self.shape.transactions
        for place in ("memory", "disk"):
            for _ in range(self.repeats):
                self._pair(place, recording, bookkeeping)
        self._seed("memory", self.shape.transactions)
        self._seed("disk", min(SEED_DURABLE, self.shape.transactions))
        self._verify()

    @property
    def store(self) -> Path:
        """Directory of the store that is restored."""
        return self.scratch / "store"

    def _backups(self) -> None:
        """Backs up, in turn with a plain read of the log; the last store is the one that is restored."""
        for _ in range(self.repeats):
            if self.limit is None:
                arguments = (str(self.shape.storage), "bench", self.shape.db, "1")
                self.shape.add("read log", self.jvm("read the log", "readlog", *arguments))
            shutil.rmtree(self.store, ignore_errors=True)
            result = python("backup", "backup", uri=self.shape.uri, store=str(self.store), limit=self.limit)
            self.shape.add("backup", result)
        self.shape.transactions, self.shape.datoms = result["restorable"], result["datoms"]
        if self.limit is None and self.shape.runs["read log"][-1]["datoms"] != result["datoms"]:
            raise BenchError("the backup and the plain read of the log differ in their number of datoms")

    def _pair(self, place: str, recording: Path, bookkeeping: int) -> None:
        """The ceiling and a restore, into new targets; they must have written the very same."""
        rounds = ROUNDS if place == "memory" else 1
        with Target(self.scratch, place) as storage:
            ceiling = self.jvm(f"ceiling, {place}", "ceiling", str(recording), storage, "target", str(rounds))
            # A restore, too, installs its bookkeeping within its time, and does not count it.
            ceiling["transactions"] -= bookkeeping
            self.shape.add(f"ceiling {place}", ceiling)
        with Target(self.scratch, place) as storage:
            uri = local(storage, "target")
            ours = python(f"restore, {place}", "restore", store=str(self.store), uri=uri, rounds=rounds)
        self.shape.add(f"restore {place}", ours)
        for result in (ceiling, ours):
            if result["transactions"] != self.shape.transactions:
                raise BenchError(
                    f"{result['transactions']} transactions instead of {self.shape.transactions}"
                )
        if ceiling["log_datoms"] != ours["log_datoms"]:
            raise BenchError(
                f"{place}: the logs differ, the ceiling's has {ceiling['log_datoms']} datoms, the restore's "
                f"{ours['log_datoms']}"
            )

    def _seed(self, place: str, limit: int) -> None:
        """The predecessor's algorithm with the first `limit` transactions, and a restore of as many."""
        whole = limit == self.shape.transactions
        store = self.scratch / "store-first"
        if not whole:
            python("backup of the first", "backup", uri=self.shape.uri, store=str(store), limit=limit)
        for _ in range(self.repeats):
            with Target(self.scratch, place) as storage:
                arguments = (str(self.shape.storage), "bench", self.shape.db, storage, str(limit), "1")
                result = self.jvm(f"predecessor, {place}, {limit}", "seed", *arguments)
            self.shape.add(f"predecessor {place}", result)
            if result["transactions"] != limit:
                raise BenchError(f"the predecessor restored {result['transactions']} instead of {limit}")
            if not whole:
                with Target(self.scratch, place) as storage:
                    uri = local(storage, "target")
                    ours = python(
                        f"restore, {place}, {limit}", "restore", store=str(store), uri=uri, rounds=1
                    )
                self.shape.add(f"restore first {place}", ours)

    def _verify(self) -> None:
        """Verifies the store, and a target against it, in turn with a plain read of the target's log."""
        with Target(self.scratch, "disk") as storage:
            uri = local(storage, "target")
            python("restore to verify", "restore", store=str(self.store), uri=uri, rounds=1)
            uri = local(storage, "target0")
            for _ in range(self.repeats):
                self.shape.add("verify", python("verify", "verify", store=str(self.store), against=None))
                read = self.jvm("read the target's log", "readlog", storage, "bench", "target0", "1")
                self.shape.add("read target", read)
                against = python("verify against", "verify", store=str(self.store), against=uri)
                self.shape.add("verify against", against)


class Target:
    """A place for a target: memory, or a new directory that is gone afterwards."""

    def __init__(self, scratch: Path, place: str) -> None:
        self._directory = None if place == "memory" else scratch / "target"

    def __enter__(self) -> str:
        if self._directory is None:
            return ":mem"
        self._directory.mkdir()
        return str(self._directory)

    def __exit__(self, *_: object) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory)


def starts(repeats: int) -> dict[str, list[float]]:
    """Seconds of `asyncrestore --version`, and from nothing to a bridge's first answer."""
    program = str(Path(sys.executable).with_name("asyncrestore"))
    seconds: dict[str, list[float]] = {"version": [], "first answer": []}
    for _ in range(repeats):
        started = monotonic()
        try:
            done = subprocess.run(
                [program, "--version"], capture_output=True, text=True, timeout=DEADLINE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchError(f"asyncrestore --version: {error}") from error
        if done.returncode != 0:
            raise BenchError(f"asyncrestore --version: exit code {done.returncode}: {done.stderr[-500:]}")
        seconds["version"].append(monotonic() - started)
        seconds["first answer"].append(python("first answer", "first-answer")["seconds"])
    progress(f"  asyncrestore --version: {seconds['version'][-1]:.2f} s")
    return seconds
