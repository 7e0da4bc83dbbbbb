"""Task groups whose errors a caller can catch by their own type."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import anyio

from asyncrestore.errors import AsyncRestoreError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from anyio.abc import TaskGroup

T = TypeVar("T")
R = TypeVar("R")


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group that raises the single error that ended it as itself.

    anyio wraps even a single error into a group, so `except TransactionRejected` would never match. Of
    several errors raised on purpose (say, two workers found a store unavailable) it raises the first one that
    another try would not cure, or else the first, with the others in its notes. Anything else stays an
    `ExceptionGroup`.
    """
    with one_error_alone():
        async with anyio.create_task_group() as tasks:
            yield tasks


async def each(items: Iterable[T], work: Callable[[T], Awaitable[R]], *, at_once: int) -> list[R]:
    """Does some work for each item, for several at the same time.

    Args:
        items: may be made as they are taken.
        work: is awaited with each item; the first that raises ends the others.
        at_once: for how many items at most, at the same time.

    Returns:
        What the work returned, in the order of the items.
    """
    numbered = enumerate(items)
    results: dict[int, R] = {}

    async def take(first: tuple[int, T]) -> None:
        for number, item in chain([first], numbered):
            results[number] = await work(item)

    async with task_group() as tasks:
        # Never more tasks than items, however many may be at once.
        for _, first in zip(range(at_once), numbered, strict=False):
            tasks.start_soon(take, first)
    return [results[number] for number in sorted(results)]


@contextmanager
def one_error_alone() -> Iterator[None]:
    """Raises the error in an `ExceptionGroup` as itself; see `task_group`."""
    try:
        yield
    except BaseExceptionGroup as group:
        first, *others = sorted(group.exceptions, key=lambda error: isinstance(error, Unavailable))
        if others and not all(isinstance(error, AsyncRestoreError) for error in group.exceptions):
            raise
        for other in others:
            first.add_note(f"At the same time: {other}")
        # As it is, with the error that it was raised beside: the group says nothing more.
        cause, context, suppress = first.__cause__, first.__context__, first.__suppress_context__
        try:
            raise first
        finally:
            first.__cause__, first.__context__, first.__suppress_context__ = cause, context, suppress
