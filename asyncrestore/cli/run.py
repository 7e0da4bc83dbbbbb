"""Runs a command's coroutine: event loop and signals."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, TypeVar

import anyio

from asyncrestore.cli.failures import Interrupted
from asyncrestore.errors import StoppedEarly
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskStatus

    from asyncrestore.cli.output import Output

_Result = TypeVar("_Result")


def run(
    output: Output,
    job: Callable[[anyio.Event], Awaitable[_Result]],
    *,
    drains: bool = False,
    kept: str = "Nothing was changed; run the same command again.",
) -> _Result:
    """Runs a job to its end.

    The first SIGINT or SIGTERM sets the event that the job is given, if it drains; otherwise it cancels the job, as the
    second always does.

    Args:
        output: is told of the first signal.
        job: takes the event that asks it to stop early.
        drains: whether the job heeds the event, and raises `StoppedEarly`.
        kept: hint for the person who interrupted it.

    Raises:
        Interrupted: it was stopped by a signal.
    """
    return anyio.run(
        _Interruptible(output, job, kept, drains=drains).run,
        backend_options={"use_uvloop": sys.platform != "win32"},
    )


class _Interruptible:
    def __init__(
        self,
        output: Output,
        job: Callable[[anyio.Event], Awaitable[_Result]],
        kept: str,
        *,
        drains: bool,
    ) -> None:
        self._output = output
        self._job = job
        self._kept = kept
        self._drains = drains
        self._stop = anyio.Event()
        self._scope = anyio.CancelScope()

    async def run(self) -> _Result:  # type: ignore[type-var]
        async with task_group() as tasks:
            if (
                sys.platform != "win32"
            ):  # where Ctrl-C raises KeyboardInterrupt, and there are no other signals
                await tasks.start(self._watch)
            try:
                with self._scope:
                    return await self._job(self._stop)  # type: ignore[return-value]
            except StoppedEarly as exc:
                if not self._stop.is_set():
                    raise
                raise Interrupted(str(exc), hint=exc.hint) from exc
            finally:
                tasks.cancel_scope.cancel()
        raise Interrupted("interrupted", hint=self._kept)

    async def _watch(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if not self._drains or self._stop.is_set():
                    self._scope.cancel()
                else:
                    self._stop.set()
                    self._output.note("Stopping: finishing what is in flight. Once more stops at once.")
