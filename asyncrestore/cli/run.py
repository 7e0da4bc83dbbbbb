"""Runs the job of a command: event loop and signals."""

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
CONTINUES = "What was done stays. Run the same command again: it continues."


def run(
    output: Output,
    job: Callable[[anyio.Event], Awaitable[_Result]],
    *,
    drains: bool = False,
    kept: str = "Nothing was changed. Run the same command again.",
) -> _Result:
    """Runs a job to its end.

    The first SIGINT, SIGTERM or SIGHUP sets the job's event if the job drains; otherwise it cancels the job,
    as the second signal always does.

    Args:
        output: where to announce that a job is draining.
        job: called with an event that asks it to stop early.
        drains: whether the job stops when the event is set, and raises `StoppedEarly`.
        kept: hint for the user who interrupted it: what is left, and what to do next.

    Raises:
        Interrupted: the job was stopped by a signal.
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
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        wanted.append(signal.SIGHUP)
    with anyio.open_signal_receiver(*wanted) as signals:
        task_status.started()
        async for _ in signals:
            if stop is None or stop.is_set():
                scope.cancel()
            else:
                stop.set()
                output.note("Stopping: finishing what is in flight. Another signal stops at once.")
