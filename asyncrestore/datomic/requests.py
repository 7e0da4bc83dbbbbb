"""Requests under way, and how long to wait for an answer: as long as something works at it.

How long an answer takes may grow with the database, as opening a large one does. So no request has a limit of
its own; what has one is the time in which nothing works at it. The bridge tells that once a second
(`jvm/asyncrestore/work.clj`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from asyncrestore.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

STEP_S = 1.0
"""How often the bridge tells."""

FIRST_LINE_S = 10.0
LINE_INTERVAL_S = 30.0

OnWork: TypeAlias = "Callable[[int | None], None]"
"""Called once a second while something works at a request, with the percentage done, or None if not known."""


@dataclass(slots=True)
class Request:
    """A request under way.

    Attributes:
        number: by which its answer is found.
        operation: its name.
        done: set when `reply` has come or can no longer come.
        on_work: called with its progress.
        reply: outcome and value.
        idle_s: for how long nothing has worked at it.
        idle: whether the bridge has told so since something did; otherwise it was silent.
    """

    number: int
    operation: str
    done: anyio.Event
    on_work: OnWork | None = None
    reply: tuple[str, Any] | None = None
    idle_s: float = 0.0
    idle: bool = False

    def hear(self, works: bool, percent: int | None) -> None:
        """Takes note of whether anything works at it, and how far it is."""
        self.idle = not works
        if works:
            self.idle_s = 0.0
            if self.on_work is not None:
                self.on_work(percent)

    async def wait(self, limit_s: float) -> None:
        """Waits until `done` is set.

        Raises:
            Unavailable: nothing has worked at it for `limit_s` seconds.
        """
        # In steps: the time in which this process was stopped counts as one of them.
        step_s = min(STEP_S, limit_s)
        while self.idle_s < limit_s:
            self.idle_s += step_s
            with anyio.move_on_after(step_s):
                await self.done.wait()
                return
        if self.idle:
            raise Unavailable(
                f"Datomic did not answer {self.operation!r}: nothing has worked at it for {limit_s:g} s",
                hint="Its storage, or its transactor, may be away. Run the same command again.",
            )
        raise Unavailable(
            f"Datomic did not answer {self.operation!r}: its JVM has given no sign of life for {limit_s:g} s",
            hint="It may be stopped, or the machine may lack memory for it. Run the same command again.",
        )


def logged(what: str, clock: Callable[[], float] = monotonic) -> OnWork:
    """Returns an `on_work` that logs how far a long request is: after 10 s, and then every 30 s.

    Args:
        what: how the line begins, such as `opening URI`.
        clock: returns the time in seconds; monotonic.
    """
    started, due_s = clock(), FIRST_LINE_S

    def on_work(percent: int | None) -> None:
        nonlocal due_s
        seconds = clock() - started
        if seconds >= due_s:
            due_s = seconds + LINE_INTERVAL_S
            done = "" if percent is None else f"{percent} % in "
            logger.info("%s: %s%.0f s", what, done, seconds)

    return on_work
