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
    kept: str = "Nothing was changed. Run the same command again.",
) -> _Result:
    """Runs a job to its end.

    The first SIGINT, SIGTERM or SIGHUP sets the event that the job is given, if it drains; otherwise it
    cancels the job, as the second always does.

    Args:
        output: is told of the first signal.
        job: takes the event that asks it to stop early.
        drains: whether the job heeds the event, and raises `StoppedEarly`.
        kept: for the person who interrupted it: what is left, and what to do.

    Raises:
        Interrupted: it was stopped by a signal.
    """

    async def main() -> _Result:
        stop, scope = anyio.Event(), anyio.CancelScope()
        async with task_group() as tasks:
            if sys.platform != "win32":  # there Ctrl-C raises KeyboardInterrupt, and no other signal comes
                await tasks.start(_watch, output, stop if drains else None, scope)
            try:
                with scope:
                    return await job(stop)
            except StoppedEarly as exc:
                raise Interrupted(str(exc), hint=exc.hint) from exc
            finally:
                tasks.cancel_scope.cancel()
        raise Interrupted("interrupted", hint=kept)

    return anyio.run(main, backend_options={"use_uvloop": sys.platform != "win32"})


async def _watch(
    output: Output, stop: anyio.Event | None, scope: anyio.CancelScope, *, task_status: TaskStatus[None]
) -> None:
    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        wanted.append(signal.SIGHUP)
    with anyio.open_signal_receiver(*wanted) as signals:
        task_status.started()
        async for _ in signals:
            if stop is None or stop.is_set():
                scope.cancel()
            else:
                stop.set()
                output.note("Stopping: finishing what is in flight. Once more stops at once.")
