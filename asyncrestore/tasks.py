"""Task groups whose errors a caller can catch by their own type."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import AsyncRestoreError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from anyio.abc import TaskGroup


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group that raises the one error that ended it as itself.

    anyio wraps even a single error into a group, so that `except TransactionRejected` would never match. Of
    several errors raised on purpose (both of two workers met a store that was away) it raises the first, but
    none that passes before one that stays, with the others in its notes; anything else stays an
    `ExceptionGroup`.
    """
    with one_error_alone():
        async with anyio.create_task_group() as tasks:
            yield tasks


@contextmanager
def one_error_alone() -> Iterator[None]:
    """Raises the error in an `ExceptionGroup` of one as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        first, *others = sorted(group.exceptions, key=lambda error: isinstance(error, Unavailable))
        if others and not all(isinstance(error, AsyncRestoreError) for error in group.exceptions):
            raise
        for other in others:
            first.add_note(f"At the same time: {other}")
        raise first from first.__cause__
