"""Databases behind bridges: `Connector` starts a bridge for each engine in use and opens databases by URI."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from typing_extensions import override

from asyncrestore.datomic import frames
from asyncrestore.datomic.access import ACCESS
from asyncrestore.datomic.base import Database, Submission
from asyncrestore.datomic.bridge import Bridge, anomaly_from, error_from, start_bridge
from asyncrestore.datomic.engines import parse_uri
from asyncrestore.datomic.local_files import unopened
from asyncrestore.datomic.requests import Request, logged
from asyncrestore.datomic.runtime import bridge_command
from asyncrestore.datomic.transactions import batch_columns
from asyncrestore.errors import (
    AsyncRestoreError,
    DatabaseFailed,
    OutcomeUnknown,
    StoppedEarly,
    Unavailable,
    UsageError,
)
from asyncrestore.model.commit import BatchResult, Committed
from asyncrestore.model.values import to_python
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from array import array
    from collections.abc import AsyncIterator, Sequence

    from anyio.abc import TaskGroup, TaskStatus

    from asyncrestore.datomic.uri import DatabaseUri
    from asyncrestore.model.commit import TxData
    from asyncrestore.model.log import LogChunk

logger = logging.getLogger(__name__)

TRANSACT_TIMEOUT_S = 300.0


class BridgeSubmission(Submission):
    """A submission that the bridge is committing."""

    def __init__(self, database: BridgeDatabase, request: Request, bridge: Bridge) -> None:
        self._database = database
        self._request = request
        self._bridge = bridge

    @override
    async def result(self) -> BatchResult:
        try:
            done, anomaly, behind = await self._bridge.answer(self._request, timeout_s=TRANSACT_TIMEOUT_S)
        except Unavailable as exc:
            raise OutcomeUnknown(
                f"{self._database.uri}: transactions were sent, and no answer came. {exc}",
                hint="Run the same command again: it asks the target how far it got and continues there.",
            ) from exc
        failed = None if anomaly is None else anomaly_from(anomaly)
        if failed and (failed.error in ACCESS or (failed.category, failed.error) == ("forbidden", None)):
            # Not the transaction is refused, but whoever sends it.
            raise error_from(failed, "transact")
        return BatchResult(
            _committed(frames.unpack(done)),
            failed,
            _committed(frames.unpack(behind)),
        )


def _committed(numbers: array[int]) -> list[Committed]:
    """Reads rows of: t before, transaction id, number of new entities, then tempid and id of each."""
    committed, at = [], 0
    while at < len(numbers):
        end = at + 3 + 2 * numbers[at + 2]
        committed.append(Committed(numbers[at], numbers[at + 1], numbers[at + 3 : end]))
        at = end
    return committed


class BridgeDatabase(Database):
    """A database that is open in a bridge."""

    def __init__(
        self, bridge: Bridge, uri: DatabaseUri, handle: int, *, identity: str | None, ordered: bool
    ) -> None:
        self._bridge = bridge
        self._handle = handle
        self.uri = uri.text
        self.name = uri.db
        self.identity = identity
        self.ordered = ordered

    @override
    async def basis_t(self) -> int:
        return int(await self._bridge.request("basis", self._handle))

    @override
    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        next_t, columns = await self._bridge.request("read-log", self._handle, start, end, size)
        return next_t, frames.log_chunk(columns)

    @override
    async def transaction_ts(self, start: int, end: int) -> array[int]:
        return frames.unpack(await self._bridge.request("transactions", self._handle, start, end))

    @override
    async def schema_history(self) -> LogChunk:
        return frames.log_chunk(await self._bridge.request("schema", self._handle))

    @override
    async def submit(self, batch: Sequence[TxData]) -> BridgeSubmission:
        request = await self._bridge.send("transact", self._handle, batch_columns(batch))
        return BridgeSubmission(self, request, self._bridge)

    @override
    async def entities_with(self, attribute: str, values: Sequence[int]) -> list[list[int]]:
        found = await self._bridge.request(
            "holders", self._handle, frames.keyword(attribute), frames.pack(values)
        )
        return [list(entities) for entities in found]

    @override
    async def values_of(self, attribute: str, entities: Sequence[int]) -> list[int | None]:
        return list(
            await self._bridge.request(
                "values", self._handle, frames.keyword(attribute), frames.pack(entities)
            )
        )

    @override
    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        done = await self._bridge.request(
            "transact-edn", self._handle, list(transactions), timeout_s=TRANSACT_TIMEOUT_S
        )
        return [(tx, dict(tempids)) for tx, tempids in done]

    async def query(self, query: str, *arguments: str, as_of_ms: int | None = None) -> list[tuple[Any, ...]]:
        """Runs a Datalog query.

        Args:
            query: written as EDN; its first input is the database.
            *arguments: its further inputs, written as EDN.
            as_of_ms: the query sees the database as of that instant, in milliseconds since 1970.

        Returns:
            The rows of the result, with values as `values.to_python` gives them.
        """
        rows = await self._bridge.request("query", self._handle, as_of_ms, query, list(arguments))
        return [tuple(None if v is None else to_python(v[0], v[1]) for v in row) for row in rows]


class Connector:
    """Opens databases; those of one engine share a JVM.

    Databases in one directory of Datomic Local must share it, because the process locks the directory.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._bridges: dict[tuple[str, bool], Bridge] = {}
        self._starting = anyio.Lock()
        self._closing = anyio.Event()

    async def bridge(self, engine: str, *, aws: bool = False) -> Bridge:
        """Returns the running bridge of an engine; starts it at first use, and again after it has died.

        Args:
            engine: its name.
            aws: whether it speaks to AWS. Only a JVM that does gets the credentials for that.

        Raises:
            SetupFailed: Java, the compiled bridge or the cache directory cannot be used.
            Unavailable: jars are missing and cannot be fetched.
            DamageError: a jar is not the one that the engine's lock file names.
        """
        async with self._starting:
            key = engine, aws
            if key not in self._bridges or self._bridges[key].ended:
                self._bridges[key] = await self._tasks.start(
                    self._run_bridge, await bridge_command(engine), aws
                )
            return self._bridges[key]

    async def _run_bridge(
        self, command: Sequence[str], aws: bool, *, task_status: TaskStatus[Bridge]
    ) -> None:
        """Runs a bridge in a task of its own: the task that called `open` may end before the bridge does."""
        async with start_bridge(command, aws=aws) as bridge:
            task_status.started(bridge)
            await self._closing.wait()

    async def release(self) -> None:
        """Closes what was opened: Datomic Local then writes indexes that it would have to make again."""
        told = logged("writing the indexes of Datomic Local")
        for bridge in self._bridges.values():
            try:
                if not bridge.ended:
                    await bridge.request("release", on_work=told)
            except AsyncRestoreError as exc:
                # All that was committed is there. Only the next opening takes longer.
                logger.warning("not closed in good order: %s", exc)

    def close(self) -> None:
        """Tells the bridges to end; `open_connector` waits for them."""
        self._closing.set()

    async def open(self, uri: str, *, create: bool = False) -> BridgeDatabase:
        """Opens a database.

        Raises:
            UsageError: the URI is malformed or does not name a database.
            NotFound: there is no such database, and `create` is not set.
            DatabaseFailed: its files cannot be read or written; the hint says what to do.
        """
        place = parse_uri(uri)
        if not place.db:
            raise UsageError(
                f"{place.text!r} does not name a database",
                hint="Add its name, as in datomic:local://SYSTEM/DB?...",
            )
        bridge = await self.bridge(place.engine, aws=place.aws)
        try:
            handle, identity, _, ordered = await bridge.request(
                "open", {**place.place, "create": create}, on_work=logged(f"opening {place.text}")
            )
        except DatabaseFailed as error:
            raise await to_thread.run_sync(unopened, place, error) from error
        return BridgeDatabase(bridge, place, handle, identity=identity, ordered=bool(ordered))

    async def databases(self, uri: str) -> list[str]:
        """Returns the names of the databases in a system.

        Args:
            uri: of the system; a database in it is ignored.
        """
        place = parse_uri(uri)
        bridge = await self.bridge(place.engine, aws=place.aws)
        return list(await bridge.request("databases", place.place))


@asynccontextmanager
async def open_connector() -> AsyncIterator[Connector]:
    """Opens a `Connector`; its bridges end with the context.

    After an error they end at once: it may be the engine's.
    """
    async with task_group() as tasks:
        connector = Connector(tasks)
        try:
            yield connector
        except StoppedEarly:
            await connector.release()
            raise
        else:
            await connector.release()
        finally:
            connector.close()
