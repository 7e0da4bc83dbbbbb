"""Waiting for something that is busy or away, longer each time, up to a deadline."""

from __future__ import annotations

import random
from dataclasses import dataclass
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


@dataclass(slots=True)
class Backoff:
    """The pauses between attempts, with full jitter: several that wait for the same do not come back at once.

    Attributes:
        first_s: the longest first pause, in seconds; it doubles with each pause.
        longest_s: the upper limit of all pauses, in seconds.
    """

    first_s: float = 0.05
    longest_s: float = 5.0
    _pauses: int = 0

    def pause_s(self) -> float:
        """Returns how long to pause now: a random time, which on average is longer each time."""
        longest_s = min(self.longest_s, self.first_s * 2 ** min(self._pauses, 30))
        self._pauses += 1
        return random.uniform(0, longest_s)  # noqa: S311 - no secret


class Patience:
    """Backs off while something is busy or away, up to a limit.

    Attributes:
        limit_s: the longest time to wait since the last success, in seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._until_s: float | None = None
        self._backoff = Backoff()

    def succeeded(self) -> None:
        """Starts over, with the shortest pause and the whole time."""
        self._until_s = None
        self._backoff = Backoff()

    async def wait(self, reason: AsyncRestoreError) -> None:
        """Waits as `Backoff` says.

        Raises:
            AsyncRestoreError: `reason`, if the time is up.
        """
        now = monotonic()
        if self._until_s is None:
            self._until_s = now + self.limit_s
        if now >= self._until_s:
            raise reason
        await anyio.sleep(min(self._backoff.pause_s(), self._until_s - now))

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
