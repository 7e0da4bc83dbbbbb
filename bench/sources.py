"""A source, its backups and the recording of a restore, each made when first asked for."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from bench.children import python

if TYPE_CHECKING:
    from pathlib import Path

    from bench.children import Jvm


@dataclass(frozen=True)
class Backup:
    """A store with a backup.

    Attributes:
        path: the store's directory.
        transactions: number of the source's own, to restore.
        datoms: number in the backup.
    """

    path: Path
    transactions: int
    datoms: int


@dataclass(frozen=True)
class Recording:
    """What a restore of a backup handed to the bridge.

    Attributes:
        path: the file.
        bookkeeping: how many of its transactions are not the source's.
    """

    path: Path
    bookkeeping: int


@dataclass
class Source:
    """A source database in a directory.

    Attributes:
        title: display name.
        storage: its storage directory.
        db: its name, in the system `bench`.
        scratch: an empty directory for stores and targets, on the disk that is to be measured.
        jvm: runs programs in a JVM like the bridge's.
        limit: only that many of its first transactions.
    """

    title: str
    storage: Path
    db: str
    scratch: Path
    jvm: Jvm
    limit: int | None = None
    _first: dict[int, Backup] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The source's URI."""
        return local(self.storage, self.db)

    @cached_property
    def backup(self) -> Backup:
        """The backup that is restored."""
        return self._backup("store", self.limit)

    @cached_property
    def recording(self) -> Recording:
        """The recording of a restore of `backup`."""
        return record(self.backup, self.scratch / "recording")

    @cached_property
    def for_predecessor(self) -> Path:
        """What the predecessor's algorithm restores, in a file."""
        file = self.scratch / "for-predecessor"
        arguments = (self.storage, "bench", self.db, self.backup.transactions, file)
        self.jvm("read for the predecessor", "predecessor_source", *arguments)
        return file

    def first(self, count: int) -> Backup:
        """A backup of its first `count` transactions, or of all if there are no more."""
        if count >= self.backup.transactions:
            return self.backup
        if count not in self._first:
            self._first[count] = self._backup(f"store-{count}", count)
        return self._first[count]

    def about(self) -> str:
        """Title and size."""
        return f"{self.title}: {self.backup.transactions:,} transactions, {self.backup.datoms:,} datoms"

    def _backup(self, name: str, limit: int | None) -> Backup:
        path = self.scratch / name
        done = python(f"backup to {name}", "backup", uri=self.uri, store=str(path), limit=limit)
        return Backup(path, done["restorable"], done["datoms"])


def local(storage: Path | str, db: str) -> str:
    return f"datomic:local://bench/{db}?storage-dir={storage}"


def record(backup: Backup, path: Path) -> Recording:
    """Records a restore of a backup."""
    target = local(":mem", "recorded")
    done = python("record", "record", store=str(backup.path), uri=target, file=str(path))
    return Recording(path, done["recorded"] - backup.transactions)


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
