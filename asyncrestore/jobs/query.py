"""Query: runs SQL over a backup in place, with DuckDB."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from contextlib import asynccontextmanager, closing
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any

import anyio
import pyarrow as pa
from anyio import to_thread
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import checkpoint_if_cancelled

from asyncrestore.errors import AsyncRestoreError, UsageError
from asyncrestore.history.point_in_time import check_reaches
from asyncrestore.history.stored import StoredHistory
from asyncrestore.jobs import views
from asyncrestore.jobs.arguments import integers, texts, wrong
from asyncrestore.jobs.opening import as_store
from asyncrestore.tasks import one_error_alone, task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from concurrent.futures import Future

    from duckdb import DuckDBPyConnection

    from asyncrestore.history.base import Part
    from asyncrestore.jobs.opening import AnyStore
    from asyncrestore.model.schema import Schema
    from asyncrestore.segments.segment import Segment
    from asyncrestore.stores.encrypted import Encryption

_AHEAD = 4
"""How many segments are read ahead while DuckDB works on the one before."""

_INTERRUPT_AGAIN_S = 0.05


async def query(
    store: AnyStore,
    sql: str,
    *,
    name: str | None = None,
    max_rows: int | None = None,
    expect_t: int | None = None,
    encryption: Encryption | None = None,
) -> pa.Table:
    """Runs a SQL query over a backup.

    It can use the views `datoms`, `transactions` and `attributes`, and the table macro `as_of(t)`
    (docs/query.md). Whole segments are read through the store and checked, once for each time that the query
    names a view over datoms; a few are in memory at a time. DuckDB itself cannot reach files or the network.
    Its groups and sorts take memory up to its own limit, 80 % of the machine's, and then spill to a temporary
    directory.

    Args:
        store: a store, open or as a URI.
        sql: a query in DuckDB's SQL.
        name: name of the backup; required if the store holds several.
        max_rows: at most this many rows are returned, the first ones. Default: all.
        expect_t: the t that the backup must reach at least: what is missing at its end shows nowhere else.
        encryption: the store's key, if the store is encrypted. Segments are decrypted in memory; what DuckDB
            spills to its temporary directory is not encrypted.

    Returns:
        The rows, all in memory.

    Raises:
        UsageError: DuckDB is not installed or refuses the query, a URI is malformed, `max_rows` is negative,
            or `name` is required.
        NotFound: the store or the backup does not exist.
        SegmentGap: the backup misses segments, or ends before `expect_t`.
        SegmentDamaged: a segment cannot be used.
        DamageError: a segment does not follow the one before it.
        Unavailable: a segment was deleted meanwhile.
        Conflict: the segments are of several databases or backups.
        AsyncRestoreError: DuckDB ran out of memory or disk.
    """
    texts(name=name)
    if not isinstance(sql, str):
        raise wrong("sql", "a text", sql)
    integers(or_none=True, max_rows=max_rows, expect_t=expect_t)
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise UsageError("Queries need the package duckdb", hint="pip install 'asyncrestore[query]'") from exc
    async with as_store(store, encryption) as opened:
        history = await StoredHistory.open(opened, name)
        check_reaches(history.where, history.end, expect_t)
        schema = await history.schema()
        with one_error_alone():
            async with BlockingPortal() as portal:
                datoms = _Datoms(history, schema, portal)
                try:
                    async with _scratch_directory() as spill:
                        return await _in_thread(datoms, sql, max_rows, spill)
                except (duckdb.Error, OSError, pa.ArrowException) as exc:
                    # OSError and ArrowException are DuckDB's errors too, raised while a stream is read.
                    raise _explained(exc, datoms.failure) from exc
                finally:
                    await portal.stop(cancel_remaining=True)


def _explained(error: Exception, failure: Exception | None) -> Exception:
    import duckdb  # noqa: PLC0415 - an extra

    if failure is not None:
        return failure
    limits = ("IO Error", "Out of Memory")  # the beginnings of such errors out of a stream
    if isinstance(error, duckdb.OperationalError) or (
        not isinstance(error, duckdb.Error) and str(error).startswith(limits)
    ):
        return AsyncRestoreError(f"DuckDB cannot answer: {str(error).strip()}")
    return UsageError(f"DuckDB refuses the query: {str(error).strip()}", hint=_HINT)


_HINT = "The views are datoms, transactions and attributes; docs/query.md has their columns."


@asynccontextmanager
async def _scratch_directory() -> AsyncIterator[str]:
    """A temporary directory. It is removed in a thread: DuckDB may have spilled much into it."""
    path = tempfile.mkdtemp(prefix="asyncrestore-query-")
    try:
        yield path
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(shutil.rmtree, path)


async def _in_thread(datoms: _Datoms, sql: str, max_rows: int | None, spill: str) -> pa.Table:
    """Runs a query in a thread, and interrupts it when this task is cancelled."""
    with closing(await to_thread.run_sync(_connect, datoms, spill)) as connection:
        ended = anyio.Event()
        answers: list[pa.Table] = []

        async def interrupt() -> None:
            try:
                await ended.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    # Repeatedly: an interrupt that comes before DuckDB has begun is lost.
                    while not ended.is_set():
                        connection.interrupt()
                        with anyio.move_on_after(_INTERRUPT_AGAIN_S):
                            await ended.wait()

        async def answer() -> None:
            try:
                # A thread beside the shared ones: it waits for reads, which need the shared ones.
                own = anyio.CapacityLimiter(1)
                answers.append(await to_thread.run_sync(_answer, connection, sql, max_rows, limiter=own))
            finally:
                ended.set()
                await checkpoint_if_cancelled()  # an interrupted query raises DuckDB's error

        # Each in a task of a group, which waits for the thread. If asyncio itself cancelled a lone task
        # (`asyncio.timeout`), the thread would go on, and the connection would be closed under it.
        async with task_group() as tasks:
            tasks.start_soon(interrupt)
            tasks.start_soon(answer)
        return answers[0]


def _connect(datoms: _Datoms, spill: str) -> DuckDBPyConnection:
    import duckdb  # noqa: PLC0415 - an extra

    connection = duckdb.connect(config={"temp_directory": spill, "python_enable_replacements": False})
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("stored_datoms", datoms)
    connection.register("stored_attributes", views.attributes(datoms.schema))
    connection.execute(views.VIEWS.replace("$tx_instant", str(datoms.tx_instant)))
    # From here on it is confined: it reads and writes no files except to spill, and fetches nothing.
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _answer(connection: DuckDBPyConnection, sql: str, max_rows: int | None) -> pa.Table:
    relation = connection.sql(sql)
    if relation is None:
        raise UsageError("The SQL gives no rows: it is not a query", hint=_HINT)
    if max_rows is None:
        return relation.to_arrow_table()
    batches, missing = [], max_rows
    with relation.to_arrow_reader() as reader:
        for batch in reader:
            batches.append(batch.slice(0, min(missing, len(batch))))
            missing -= len(batches[-1])
            if not missing:
                break
        return pa.Table.from_batches(batches, reader.schema)


class _Datoms:
    """The datoms of a backup as an Arrow stream, read again each time a stream is requested.

    Args:
        history: the backup.
        schema: its newest schema.
        portal: leads into the event loop that the store belongs to.

    Attributes:
        failure: the error that ended a stream; DuckDB keeps only the text of an error.
    """

    def __init__(self, history: StoredHistory, schema: Schema, portal: BlockingPortal) -> None:
        self._history = history
        self._portal = portal
        self._context = copy_context()
        self._hidden = views.hidden_attributes(schema)
        self.schema = schema
        self.tx_instant = schema.id_of("db/txInstant")
        self.failure: Exception | None = None

    def __arrow_c_schema__(self) -> Any:
        return views.ROWS.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        reader = pa.RecordBatchReader.from_batches(views.ROWS, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        # DuckDB calls this from threads of its own.
        parts = self._parts()
        ahead: deque[Future[tuple[Part, Segment, pa.Table]]] = deque()
        try:
            ahead.extend(self._start(*each) for each in islice(parts, _AHEAD))
            while ahead:
                part, segment, table = ahead.popleft().result()
                self._context.copy().run(self._portal.call, self._history.check_follows, part, segment)
                ahead.extend(self._start(*each) for each in islice(parts, 1))
                yield from table.to_batches()
        except Exception as exc:
            self.failure = exc
            raise
        finally:
            for future in ahead:
                future.cancel()

    def _start(self, part: Part, start: int) -> Future[tuple[Part, Segment, pa.Table]]:
        # In the context of the query, which has the limit of sizes: DuckDB's threads have another one.
        return self._context.copy().run(self._portal.start_task_soon, self._rows, part, start)

    def _parts(self) -> Iterator[tuple[Part, int]]:
        """Yields the segments, each with the t from which it is wanted, because they may overlap."""
        position = self._history.bootstrap_t + 1
        for part in self._history.parts(position):
            yield part, position
            position = part.range.end

    async def _rows(self, part: Part, start: int) -> tuple[Part, Segment, pa.Table]:
        segment, table = await self._history.table(part)
        rows = await to_thread.run_sync(views.rows, table, start, self.tx_instant, self._hidden)
        return part, segment, rows
