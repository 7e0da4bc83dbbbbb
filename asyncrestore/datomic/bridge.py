"""The bridge: a JVM child process that speaks to Datomic, by frames on its stdin and stdout.

Requests carry a number, and answers come in any order; before an answer come signs that something works at it
(`requests.py`). The process ends when its stdin is closed, so it never outlives this one. When it ends by
itself, all requests that wait for an answer fail with `BridgeDied`. How long each wait lasts is in
docs/architecture.md, "How long to wait".
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import subprocess
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from anyio.streams.text import TextReceiveStream

from asyncrestore.datomic import frames
from asyncrestore.datomic.access import ACCESS
from asyncrestore.datomic.java import jvm_environment
from asyncrestore.datomic.requests import Request
from asyncrestore.errors import (
    OPEN_FILES_HINT,
    AsyncRestoreError,
    BridgeDied,
    DatabaseFailed,
    NotAuthorized,
    NotFound,
    SetupFailed,
    Unavailable,
    UsageError,
    has_too_many_open_files,
)
from asyncrestore.model.commit import Anomaly
from asyncrestore.redact import redacted
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from anyio.abc import Process, TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from asyncrestore.datomic.requests import OnWork

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 120.0
"""For how long nothing may work at a request, or the process may take none."""

_MISSING_HINT = (
    "Mount the disk that it is on, or put the whole directory back. To make a new database there, first "
    "remove what is left of this one."
)
_FILES_HINT = (
    "If the file system there is full, read-only or out of order, mend that; then run the same command again."
)
_ERRORS: dict[str, type[AsyncRestoreError]] = {
    "not-found": NotFound,
    "forbidden": NotAuthorized,
    "unavailable": Unavailable,
    "busy": Unavailable,
    "interrupted": Unavailable,
}


def anomaly_from(answer: Any) -> Anomaly:
    """Returns the anomaly in an answer of the bridge."""
    return Anomaly(
        category=answer["category"],
        message=redacted(answer["message"]),  # Datomic may quote the URI of a database or of its storage
        error=answer["error"],
        entity=answer["entity"],
        present=answer["present"],
    )


def error_from(anomaly: Anomaly, operation: str) -> AsyncRestoreError:
    """Returns the error for an anomaly that no caller handles.

    Args:
        anomaly: as the bridge reported it.
        operation: the request that it answers.
    """
    if anomaly.error in ACCESS:
        kind, hint = ACCESS[anomaly.error]
        return kind(anomaly.message, hint=hint)
    kind = _ERRORS.get(anomaly.category, AsyncRestoreError)
    if anomaly.error == "invalid-db-uri":
        kind = UsageError
    # A JVM's errors have a text only.
    hint = OPEN_FILES_HINT if os.strerror(errno.EMFILE) in anomaly.message else ""
    if anomaly.error == "files-missing":
        return DatabaseFailed(f"Datomic cannot open it: {anomaly.message}", hint=_MISSING_HINT)
    if anomaly.error == "files-failed":
        return DatabaseFailed(f"Datomic failed at {operation!r}: {anomaly.message}", hint=hint or _FILES_HINT)
    return kind(f"Datomic refused {operation!r}: {anomaly.message}", hint=hint)


class Bridge:
    """A running JVM process; see `start_bridge`."""

    def __init__(self, process: Process, outbox: MemoryObjectSendStream[bytes]) -> None:
        self._process = process
        self._outbox = outbox
        self._open: dict[int, Request] = {}
        self._last_number = 0
        self._last_words: deque[str] = deque(maxlen=20)
        self._answered = False
        self._died = ""

    @property
    def pid(self) -> int:
        """Process id of the JVM."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the JVM is known to have ended; every request fails from then on."""
        return bool(self._died)

    async def request(
        self,
        operation: str,
        *arguments: Any,
        timeout_s: float = REQUEST_TIMEOUT_S,
        on_work: OnWork | None = None,
    ) -> Any:
        """Sends a request and waits for its answer, as long as something works at it.

        Raises:
            Unavailable: nothing has worked at it for `timeout_s` seconds.
            BridgeDied: the process has ended.
            NotFound: there is no such database.
            NotAuthorized: the storage refused the credentials.
            DatabaseFailed: the database's files cannot be written or read.
            UsageError: Datomic does not understand the database's URI.
            AsyncRestoreError: Datomic refused the request for any other reason.
        """
        request = await self.send(operation, *arguments, on_work=on_work)
        return await self.answer(request, timeout_s=timeout_s)

    async def send(self, operation: str, *arguments: Any, on_work: OnWork | None = None) -> Request:
        """Sends a request, in the order of the calls; `answer` waits for its answer.

        Raises:
            BridgeDied: the process has ended.
            Unavailable: the process took no request for `REQUEST_TIMEOUT_S`.
        """
        if self.ended:
            raise self._death()
        self._last_number += 1
        request = Request(self._last_number, operation, anyio.Event(), on_work)
        self._open[request.number] = request
        try:
            await self._hand_over(request, arguments)
        except BaseException:
            # Also when cancelled: nobody will wait for the answer.
            del self._open[request.number]
            raise
        return request

    async def _hand_over(self, request: Request, arguments: tuple[Any, ...]) -> None:
        try:
            with anyio.fail_after(REQUEST_TIMEOUT_S):
                await self._outbox.send(frames.encode((request.number, request.operation, *arguments)))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # Its stdin is closed: it will end in a moment, and then its exit status is known.
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                await request.done.wait()
            raise self._death() from None
        except TimeoutError as exc:
            raise Unavailable(f"The JVM process has taken no request for {REQUEST_TIMEOUT_S:g} s") from exc

    async def answer(self, request: Request, *, timeout_s: float) -> Any:
        """Waits for the answer to a request, as long as something works at it.

        Raises:
            AsyncRestoreError: the same errors as `request`.
        """
        try:
            await request.wait(timeout_s)
        finally:
            self._open.pop(request.number, None)
        if request.reply is None:
            raise self._death()
        outcome, value = request.reply
        if outcome == "ok":
            return value
        raise error_from(anomaly_from(value), request.operation)

    def _death(self) -> BridgeDied:
        words = redacted("".join(f"\n    {line}" for line in self._last_words))
        if "OutOfMemoryError" in words:
            hint = "Give it more memory, such as JAVA_TOOL_OPTIONS=-Xmx4g, and run the same command again."
        elif self._answered:
            hint = "Run the same command again: it continues from where the target is."
        else:
            hint = (
                "It never answered. If JAVA_TOOL_OPTIONS or JDK_JAVA_OPTIONS is set, try without it: it"
                " cannot choose a garbage collector, for example. Otherwise run the same command again."
            )
        return BridgeDied(
            f"The JVM process that speaks to Datomic ended ({self._died})"
            + (f". Its last words:{words}" if words else ""),
            hint=hint,
        )

    def start(self, tasks: TaskGroup, outbox: MemoryObjectReceiveStream[bytes]) -> None:
        """Starts the tasks that write to the process and read from it."""
        tasks.start_soon(self._write, outbox)
        tasks.start_soon(self._read)
        tasks.start_soon(self._listen)

    async def _write(self, outbox: MemoryObjectReceiveStream[bytes]) -> None:
        """Sends frames whole: a cancelled request never leaves half a frame in the pipe."""
        assert self._process.stdin is not None
        async with outbox:
            try:
                async for frame in outbox:
                    await self._process.stdin.send(frame)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                logger.debug("the bridge closed its stdin")

    async def _read(self) -> None:
        try:
            await self._read_answers()
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                await self._process.wait()
        finally:
            # Also when cancelled: requests in other tasks would wait for answers that no longer come.
            status = self._process.returncode
            self._died = "closed" if status is None else f"exit status {status}"
            for request in self._open.values():
                request.done.set()

    async def _read_answers(self) -> None:
        assert self._process.stdout is not None
        buffer = frames.FrameBuffer()
        try:
            async for data in self._process.stdout:
                for number, outcome, value in buffer.feed(data):
                    self._answered = True
                    request = self._open.get(number)
                    if request is None:
                        continue
                    if outcome == "working":
                        request.hear(*value)
                    else:
                        request.reply = (outcome, value)
                        request.done.set()
        except anyio.BrokenResourceError:
            logger.debug("the bridge closed its stdout")
        except ValueError as exc:
            # The frames after it cannot be found. JVM options of the user's that print cause this.
            self._last_words.append(f"its stdout is {exc}; is JAVA_TOOL_OPTIONS set?")
            self._process.kill()

    async def _listen(self) -> None:
        """Keeps what the JVM prints on stderr, for the message of `BridgeDied`."""
        assert self._process.stderr is not None
        try:
            async for text in TextReceiveStream(self._process.stderr, errors="replace"):
                for line in filter(str.strip, text.splitlines()):
                    logger.debug("bridge: %s", redacted(line))  # a library may have printed a URI
                    self._last_words.append(line)
        except anyio.BrokenResourceError:
            logger.debug("the bridge closed its stderr")

    async def close(self) -> None:
        """Ends the process: closes its stdin, and kills it if it does not end within `CLOSE_TIMEOUT_S`."""
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                assert self._process.stdin is not None
                await self._process.stdin.aclose()
                await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
                with anyio.move_on_after(CLOSE_TIMEOUT_S):
                    await self._process.wait()
            await self._take_broken_pipe()

    async def _take_broken_pipe(self) -> None:
        """Takes the error of frames that the process did not read before it ended, if there is one.

        asyncio keeps it for whoever waits for the end of the stream, which anyio never does. If nobody takes
        it, a Python before 3.11.3 logs it with a traceback, at some later time.
        """
        stdin = getattr(self._process.stdin, "_stream", None)
        if isinstance(stdin, asyncio.StreamWriter):
            with anyio.move_on_after(CLOSE_TIMEOUT_S), suppress(OSError):
                await stdin.wait_closed()


@asynccontextmanager
async def start_bridge(command: Sequence[str], *, aws: bool = False) -> AsyncIterator[Bridge]:
    """Runs a bridge for as long as the context lasts. If its process ends early, requests raise `BridgeDied`.

    Args:
        command: starts it; see `runtime.bridge_command`.
        aws: whether it speaks to AWS (see `jvm_environment`).

    Raises:
        SetupFailed: the process cannot be started.
    """
    try:
        # In a session of its own, Ctrl-C in the terminal does not reach it: this process ends the bridge in
        # an orderly way.
        process = await anyio.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=jvm_environment(aws=aws),
        )
    except OSError as exc:
        raise SetupFailed(
            f"{command[0]} cannot be started: {exc.strerror or exc}",
            hint=OPEN_FILES_HINT if has_too_many_open_files(exc) else "Run `asyncrestore setup`.",
        ) from exc
    send, receive = anyio.create_memory_object_stream[bytes](1)
    bridge = Bridge(process, send)
    async with process, task_group() as tasks:
        bridge.start(tasks, receive)
        try:
            yield bridge
        finally:
            send.close()
            await bridge.close()
            tasks.cancel_scope.cancel()
