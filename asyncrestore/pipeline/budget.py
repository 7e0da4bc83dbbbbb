"""A bound on bytes, beside streams that can only bound the number of items."""

from __future__ import annotations

import anyio


class ByteBudget:
    """Lets at most so many bytes be held at a time; something larger than the whole budget passes alone.

    Bytes are acquired and released by one task each, in the same order.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._released = anyio.Event()

    async def acquire(self, size: int) -> None:
        """Waits until `size` bytes fit."""
        while self._held and self._held + size > self._limit:
            self._released = anyio.Event()
            await self._released.wait()
        self._held += size

    def release(self, size: int) -> None:
        """Gives `size` bytes back."""
        self._held -= size
        self._released.set()
