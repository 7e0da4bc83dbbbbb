"""Waiting for something that is busy or away, longer each time, up to a deadline."""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

import anyio

from asyncrestore.errors import BridgeDied, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.errors import AsyncRestoreError

T = TypeVar("T")

PATIENCE_S = 60.0
"""How long a restore waits for a target that is busy or away, or whose clock is behind, unless it is told."""

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 5.0


class Patience:
    """Backs off with full jitter, so that several that wait for the same thing do not come back at once.

    Attributes:
        limit_s: the longest time to wait since the last success, in seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._until_s: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def succeeded(self) -> None:
        """Starts over, with the shortest pause and the whole time."""
        self._until_s = None
        self._pause_s = FIRST_PAUSE_S

    async def wait(self, reason: AsyncRestoreError) -> None:
        """Waits a random time, which on average is longer each time, up to `MAX_PAUSE_S`.

        Raises:
            AsyncRestoreError: `reason`, if the time is up.
        """
        now = monotonic()
        if self._until_s is None:
            self._until_s = now + self.limit_s
        if now >= self._until_s:
            raise reason
        pause_s = random.uniform(0, self._pause_s)  # noqa: S311 - no secret
        await anyio.sleep(min(pause_s, self._until_s - now))
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)

    async def persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks again until there is an answer.

        Raises:
            BridgeDied: nobody is there to answer any more.
            Unavailable: there was no answer in time.
        """
        while True:
            try:
                return await ask()
            except BridgeDied:
                raise
            except Unavailable as reason:
                await self.wait(reason)
