"""The first stage: loads the parts of a history, several at once, and passes their chunks on in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import AsyncRestoreError
from asyncrestore.model import tx_to_t
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.streams.memory import MemoryObjectSendStream

    from asyncrestore.history import History, Part
    from asyncrestore.model import LogChunk
    from asyncrestore.pipeline.budget import ByteBudget

PARTS_AT_ONCE = 4


@dataclass(slots=True)
class _Loading:
    """A part being loaded; `chunks` or `error` is there once `done` is set."""

    part: Part
    done: anyio.Event = field(default_factory=anyio.Event)
    chunks: AsyncIterator[LogChunk] | None = None
    error: AsyncRestoreError | None = None


async def prefetch(
    history: History,
    after_tx: int,
    budget: ByteBudget,
    output: MemoryObjectSendStream[LogChunk],
    stop: anyio.Event,
) -> None:
    """Sends the transactions after `after_tx`, in order, and closes the stream.

    Args:
        history: what to read.
        after_tx: the last transaction that is not wanted.
        budget: bounds the bytes of loaded parts.
        output: takes chunks of whole transactions, never empty ones.
        stop: once set, nothing more is sent.

    Raises:
        SegmentDamaged: a part cannot be used; all before it was sent.
        Conflict: a part belongs to another database; likewise.
    """
    loading_send, loading_receive = anyio.create_memory_object_stream[_Loading](PARTS_AT_ONCE - 1)
    async with output, task_group() as tasks:
        tasks.start_soon(_start_loading, history, after_tx, budget, loading_send)
        try:
            async with loading_receive:
                async for loading in loading_receive:
                    await loading.done.wait()
                    if not await _emit(loading, after_tx, output, stop):
                        break
                    budget.release(loading.part.size)
        except anyio.BrokenResourceError:
            pass  # the stage after this one has ended, and says why itself
        tasks.cancel_scope.cancel()


async def _start_loading(
    history: History, after_tx: int, budget: ByteBudget, output: MemoryObjectSendStream[_Loading]
) -> None:
    async with output, task_group() as tasks:
        for part in history.parts(tx_to_t(after_tx) + 1):
            await budget.acquire(part.size)
            loading = _Loading(part)
            tasks.start_soon(_load, history, loading)
            try:
                await output.send(loading)
            except anyio.BrokenResourceError:
                return  # told to stop: nobody takes them any more


async def _load(history: History, loading: _Loading) -> None:
    """Loads a part; its error waits for its turn, so that all before it is passed on first."""
    try:
        loading.chunks = await history.load(loading.part)
    except AsyncRestoreError as error:
        loading.error = error
    loading.done.set()


async def _emit(
    loading: _Loading, after_tx: int, output: MemoryObjectSendStream[LogChunk], stop: anyio.Event
) -> bool:
    """Sends a part's chunks; False when it was told to stop."""
    if loading.error is not None:
        raise loading.error
    assert loading.chunks is not None
    async for chunk in loading.chunks:
        if stop.is_set():
            return False
        wanted = chunk.after(after_tx)
        if wanted:
            await output.send(wanted)
    return True
