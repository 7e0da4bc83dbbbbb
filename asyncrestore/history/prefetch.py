"""The first stage: loads the parts of a history, several at once, and passes their chunks on in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from asyncrestore.errors import AsyncRestoreError
from asyncrestore.model.log import tx_to_t
from asyncrestore.tasks import task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.streams.memory import MemoryObjectSendStream

    from asyncrestore.history.base import History, Part
    from asyncrestore.history.budget import ByteBudget
    from asyncrestore.model.log import LogChunk

PARTS_AT_ONCE = 4


@dataclass(slots=True)
class _Loading:
    """A part that is being loaded; once `done` is set, it has `chunks` or `error`."""

    part: Part
    done: anyio.Event = field(default_factory=anyio.Event)
    chunks: AsyncIterator[LogChunk] | None = None
    error: AsyncRestoreError | None = None


async def prefetch(
    history: History,
    after_tx: int,
    *,
    budget: ByteBudget,
    output: MemoryObjectSendStream[LogChunk],
    stop: anyio.Event,
    limit: int | None = None,
) -> int:
    """Sends the transactions after `after_tx`, in order, and closes the stream.

    Args:
        history: the history to read.
        after_tx: the last transaction that is not wanted.
        budget: bounds the bytes of loaded parts.
        output: receives chunks of whole transactions, never empty ones.
        stop: once set, nothing more is sent.
        limit: sends at most this many parts; those without wanted transactions do not count.

    Returns:
        How many parts were not sent, or not whole.

    Raises:
        SegmentDamaged: a part cannot be used; everything before it was sent.
        Conflict: a part belongs to another database; everything before it was sent.
    """
    parts = history.parts(tx_to_t(after_tx) + 1)
    at_once = PARTS_AT_ONCE if limit is None else min(PARTS_AT_ONCE, limit)
    loading_send, loading_receive = anyio.create_memory_object_stream[_Loading](at_once - 1)
    done = sent = 0
    async with output, task_group() as tasks:
        tasks.start_soon(_start_loading, history, parts, budget, loading_send)
        try:
            async with loading_receive:
                async for loading in loading_receive:
                    await loading.done.wait()
                    last_tx = await _emit(loading, after_tx, output, stop)
                    if last_tx is None:
                        break
                    budget.release(loading.part.size)
                    done, sent = done + 1, sent + (last_tx > after_tx)
                    if sent == limit:
                        break
                    # Parts may overlap: backups of different segment sizes may have run at the same time.
                    after_tx = last_tx
        except anyio.BrokenResourceError:
            pass  # the next stage has ended, and raises the reason itself
        tasks.cancel_scope.cancel()
    return len(parts) - done


async def _start_loading(
    history: History, parts: list[Part], budget: ByteBudget, output: MemoryObjectSendStream[_Loading]
) -> None:
    async with output, task_group() as tasks:
        for part in parts:
            await budget.acquire(part.size)
            loading = _Loading(part)
            try:
                await output.send(loading)
            except anyio.BrokenResourceError:
                return  # `prefetch` takes no more of them
            # Only now, or the part that waits for room in the stream would be loaded as well.
            tasks.start_soon(_load, history, loading)


async def _load(history: History, loading: _Loading) -> None:
    """Loads a part. Its error is kept until its turn, so that everything before it is passed on first."""
    try:
        loading.chunks = await history.load(loading.part)
    except AsyncRestoreError as error:
        loading.error = error
    loading.done.set()


async def _emit(
    loading: _Loading, after_tx: int, output: MemoryObjectSendStream[LogChunk], stop: anyio.Event
) -> int | None:
    """Sends a part's transactions after `after_tx`; returns the last one, or None if `stop` was set."""
    if loading.error is not None:
        raise loading.error
    assert loading.chunks is not None
    async for chunk in loading.chunks:
        if stop.is_set():
            return None
        wanted = chunk.after(after_tx)
        if wanted:
            await output.send(wanted)
            after_tx = wanted.tx[-1]
    return after_tx
