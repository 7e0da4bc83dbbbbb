"""A database's log in a file, for processes that are killed often: a JVM for each would take minutes."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.datomic.wrapper import DatabaseWrapper
from asyncrestore.model.log import LogChunk, t_to_tx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncrestore.datomic.base import Database


@dataclass
class RecordedDatabase(DatabaseWrapper):
    """What a backup needs of a database, as it was when it was recorded; nothing else is there."""

    name: str
    identity: str | None
    log: LogChunk
    schema: LogChunk
    basis: int
    uri: str = "recorded:"
    ordered: bool = True

    async def basis_t(self) -> int:
        return self.basis

    async def schema_history(self) -> LogChunk:
        return self.schema

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        del size  # all at once
        return None, self.log.after(t_to_tx(start) - 1).until(t_to_tx(end) - 1)

    async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
        return range(start, min(end, self.basis + 1))  # of Datomic Local, where t is consecutive


async def record(database: Database, path: Path) -> None:
    """Writes a small database to a file."""
    basis = await database.basis_t()
    next_t, log = await database.read_log(0, basis + 1, size=10**9)
    assert next_t is None
    schema = await database.schema_history()
    path.write_bytes(pickle.dumps(RecordedDatabase(database.name, database.identity, log, schema, basis)))


def recorded(path: Path) -> RecordedDatabase:
    """The database that was written there."""
    database: RecordedDatabase = pickle.loads(path.read_bytes())  # noqa: S301 - the tests' own
    return database
