"""Task groups whose errors a caller can catch by their own type."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from anyio.abc import TaskGroup


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group that raises the one error that ended it as itself, several as an `ExceptionGroup`.

    anyio wraps even a single error into a group, so that `except TransactionRejected` would never match.
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
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
