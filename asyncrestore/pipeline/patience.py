"""Waiting for something that is busy or away, ever longer, up to a deadline."""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from asyncrestore.errors import AsyncRestoreError

PATIENCE_S = 60.0
"""How long a target may be busy, away or behind in its clock, without anything committing."""

FIRST_S = 0.05
CAP_S = 5.0


class Patience:
    """Backs off with full jitter, so that several who wait for the same do not come back at once.

    Args:
        limit_s: how many seconds to wait at most since the last success.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._until_s: float | None = None
        self._pause_s = FIRST_S

    def succeeded(self) -> None:
        """Starts anew."""
        self._until_s = None
        self._pause_s = FIRST_S

    async def wait(self, reason: AsyncRestoreError) -> None:
        """Waits a while, longer than the last time.

        Raises:
            AsyncRestoreError: `reason`, when the time is up.
        """
        now = monotonic()
        if self._until_s is None:
            self._until_s = now + self._limit_s
        if now >= self._until_s:
            raise reason
        pause_s = random.uniform(0, self._pause_s)  # noqa: S311 - no secret
        await anyio.sleep(min(pause_s, self._until_s - now))
        self._pause_s = min(2 * self._pause_s, CAP_S)
