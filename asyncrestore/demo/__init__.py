"""The demo: a database with years of history is backed up, restored, verified and asked about its past.

The data is in `musicbrainz.edn.gz`, which `README.md` beside it describes. The databases are durable ones of
Datomic Local, the backup is in a directory, and all is done by the library's public functions.
"""

from __future__ import annotations

import gzip
import shlex
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import anyio
from anyio import to_thread

import asyncrestore
from asyncrestore.errors import UsageError
from asyncrestore.progress import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.jobs.backup import BackupReport
    from asyncrestore.jobs.restore import RestoreReport
    from asyncrestore.jobs.verified import VerifyReport
    from asyncrestore.progress import OnProgress

DATA = Path(__file__).parent / "musicbrainz.edn.gz"
BATCH = 250
QUESTION = """[:find ?name ?country ?release
 :in $ ?gid
 :where [?artist :artist/gid ?gid] [?artist :artist/name ?name]
        [?artist :artist/country ?c] [?c :country/name ?country]
        [?release :release/artists ?artist]]"""
ARTIST = '#uuid "83d91898-7763-47d7-b03b-b92132375c47"'
INSTANTS = (datetime(2009, 6, 1, tzinfo=UTC), datetime(2010, 4, 1, tzinfo=UTC))

Say: TypeAlias = "Callable[[str], None]"
Show: TypeAlias = "Callable[[str], AbstractContextManager[OnProgress]]"


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of both databases to the question, as of one instant."""

    instant: datetime
    source: list[tuple[str, str, int]]
    target: list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo did.

    Attributes:
        directory: where everything is, None if it was removed.
        source: URI of the source database.
        store: directory of the store.
        target: URI of the restored database.
        transactions: how many transactions were written into the source.
        load_seconds: how long writing them took.
        backup: report of the backup of the source.
        restore: report of the restore into the target.
        store_check: report of verifying the backup by itself.
        target_check: report of verifying the target against the backup.
        answers: the answers to the question, as of each instant.
    """

    directory: str | None
    source: str
    store: str
    target: str
    transactions: int
    load_seconds: float
    backup: BackupReport
    restore: RestoreReport
    store_check: VerifyReport
    target_check: VerifyReport
    answers: list[Answers]

    @property
    def ok(self) -> bool:
        """Whether the backup is whole, and the target and every answer are equal to the source's."""
        same = all(answer.source == answer.target and answer.source for answer in self.answers)
        return self.store_check.ok and self.target_check.ok and same


async def run_demo(keep: Path | None, say: Say, show: Show) -> DemoReport:
    """Runs the demo.

    Args:
        keep: where to leave everything; must be empty or not exist. Default: a temporary directory.
        say: called with each text that describes what happens.
        show: called with the name of a step; returns a context manager that yields its `on_progress`.

    Raises:
        UsageError: `keep` is not empty, or cannot be used as a directory.
        SetupFailed: Java or Datomic's jars cannot be had.
        Unavailable: Datomic cannot be started.
    """
    async with _directory(keep) as directory, asyncrestore.open_connector() as connector:
        uri = f"datomic:local://demo/{{}}?storage-dir={quote(str(directory / 'datomic'))}"
        source = await connector.open(uri.format("catalogue"), create=True)
        target = await connector.open(uri.format("copy"), create=True)
        return await _Demo(source, target, directory / "backups", say, show).run(kept=keep is not None)


@asynccontextmanager
async def _directory(keep: Path | None) -> AsyncIterator[Path]:
    if keep is None:
        async with anyio.TemporaryDirectory[str](prefix="asyncrestore-demo-") as directory:
            yield Path(directory)
    else:
        kept = await anyio.Path(keep).absolute()
        try:
            await kept.mkdir(parents=True, exist_ok=True)
            empty = not [entry async for entry in kept.iterdir()]
        except OSError as exc:
            raise UsageError(f"{keep} cannot be used: {exc}", hint="Name another directory.") from exc
        if not empty:
            raise UsageError(f"{keep} is not empty", hint="Name a directory that is empty or does not exist.")
        yield Path(kept)


def _read_transactions() -> list[str]:
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


class _Demo:
    """The steps, in order."""

    def __init__(
        self, source: BridgeDatabase, target: BridgeDatabase, store: Path, say: Say, show: Show
    ) -> None:
        self._source = source
        self._target = target
        self._store = store
        self._say = say
        self._show = show

    async def run(self, *, kept: bool) -> DemoReport:
        transactions = await to_thread.run_sync(_read_transactions)
        load_seconds = await self._load(transactions)
        backup = await self._back_up()
        restore = await self._restore()
        store_check, target_check = await self._verify()
        return DemoReport(
            directory=str(self._store.parent) if kept else None,
            source=self._source.uri,
            store=str(self._store),
            target=self._target.uri,
            transactions=len(transactions),
            load_seconds=load_seconds,
            backup=backup,
            restore=restore,
            store_check=store_check,
            target_check=target_check,
            answers=await self._ask(),
        )

    async def _load(self, transactions: list[str]) -> float:
        self._say(
            "1. Make a source: a durable Datomic Local database with the history of a record catalogue"
            f"\n   (facts of MusicBrainz, {len(transactions):,} transactions of 2009 to 2011)."
        )
        started = monotonic()
        progress = Progress(0, len(transactions))
        with self._show("load") as on_progress:
            for at in range(0, len(transactions), BATCH):
                batch = transactions[at : at + BATCH]
                await self._source.transact_edn(batch)
                progress.transactions += len(batch)
                progress.committed_t = progress.transactions
                on_progress(progress)
        seconds = monotonic() - started
        self._done(f"{len(transactions):,} transactions written", seconds, len(transactions))
        return seconds

    async def _back_up(self) -> BackupReport:
        self._say(f"\n2. Back it up, as Parquet, into a directory\n   ({self._store}).")
        with self._show("backup") as on_progress:
            report = await asyncrestore.backup(self._source, str(self._store), on_progress=on_progress)
        files = f"{len(report.segments)} file{'' if len(report.segments) == 1 else 's'}"
        what = f"{report.datoms:,} datoms in {files}, {report.bytes / 1000:,.0f} kB"
        self._done(what, report.seconds, report.transactions)
        return report

    async def _restore(self) -> RestoreReport:
        self._say(
            "\n3. Restore the backup into a second, new database: every transaction again, in order,"
            "\n   with its original instant."
        )
        with self._show("restore") as on_progress:
            report = await asyncrestore.restore(str(self._store), self._target, on_progress=on_progress)
        self._done(f"{report.transactions:,} transactions restored", report.seconds, report.transactions)
        return report

    async def _verify(self) -> tuple[VerifyReport, VerifyReport]:
        self._say(
            "\n4. Verify: is the backup whole, and does the copy have exactly the same history,"
            "\n   transaction by transaction, datom by datom?"
        )
        with self._show("verify") as on_progress:
            alone = await asyncrestore.verify(str(self._store), on_progress=on_progress)
            against = await asyncrestore.verify(
                str(self._store), against=self._target, on_progress=on_progress
            )
        seconds = alone.seconds + against.seconds
        self._done(f"backup: {_verdict(alone)}; copy: {_verdict(against)}", seconds, against.transactions)
        for problem in (*alone.problems, *against.problems):
            self._say(f"     - {problem}")
        return alone, against

    async def _ask(self) -> list[Answers]:
        self._say("\n5. Ask both about the past: an artist's name, country and number of releases, as of")
        answers = []
        for instant in INSTANTS:
            milliseconds = round(instant.timestamp() * 1000)
            source = await self._source.query(QUESTION, ARTIST, as_of_ms=milliseconds)
            target = await self._target.query(QUESTION, ARTIST, as_of_ms=milliseconds)
            answers.append(Answers(instant, _rows(source), _rows(target)))
        texts = [(f"{a.instant:%Y-%m-%d}", _words(a.source), _words(a.target)) for a in answers]
        width = max(len(in_source) for _, in_source, _ in texts)
        for when, in_source, in_target in [("", "source", "copy"), *texts]:
            self._say(f"   {when:<11} {in_source:<{width}}   {in_target}")
        same = all(answer.source == answer.target for answer in answers)
        self._say(f"   -> {'the same answers' if same else 'THE ANSWERS DIFFER'}")
        return answers

    def _done(self, what: str, seconds: float, transactions: int) -> None:
        rate = f" ({transactions / seconds:,.0f} transactions/s)" if seconds else ""
        self._say(f"   -> {what}, in {seconds:.1f} s{rate}")


def _rows(found: list[tuple[Any, ...]]) -> list[tuple[str, str, int]]:
    """Returns name, country and number of releases; the number, because ids differ between databases."""
    counts = Counter((name, country) for name, country, _ in found)
    return sorted((name, country, releases) for (name, country), releases in counts.items())


def _words(rows: list[tuple[str, str, int]]) -> str:
    return "; ".join(f"{name}, {country}, {releases}" for name, country, releases in rows) or "nothing"


def _verdict(report: VerifyReport) -> str:
    if not report.ok:
        return f"{report.problem_count:,} PROBLEMS"
    return "whole" if report.against is None else f"identical, {report.datoms:,} datoms compared"


def next_commands(report: DemoReport) -> str:
    """Returns a text with commands to try next."""
    if report.directory is None:
        return "To look around yourself, keep everything: asyncrestore demo --keep ./demo"
    store, source, target = (shlex.quote(text) for text in (report.store, report.source, report.target))
    second = shlex.quote(report.target.replace("/copy?", "/second?"))
    return "\n".join(
        (
            f"Everything is in {report.directory}. Try next:",
            f"  asyncrestore info {store}",
            f"  asyncrestore info {target}",
            f"  asyncrestore verify {store} --against {target}",
            f"  asyncrestore backup {source} {store}        # nothing new",
            f"  asyncrestore restore {store} {second}       # press Ctrl-C, then run it again",
        )
    )
