"""A bound on bytes, for streams that bound only the number of items."""

from __future__ import annotations

import anyio


class ByteBudget:
    """Bounds the bytes that are held at a time; something larger than the whole budget passes alone.

    One task acquires and one task releases, in the same order.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._released = anyio.Event()

    async def acquire(self, size: int) -> None:
        """Waits until `size` more bytes fit."""
        while self._held and self._held + size > self._limit:
            self._released = anyio.Event()
            await self._released.wait()
        self._held += size

    def release(self, size: int) -> None:
        """Gives `size` bytes back."""
        self._held -= size
        self._released.set()
