"""Point in time: a history that ends at one of its transactions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from typing_extensions import override

from asyncrestore.errors import SegmentGap, UsageError
from asyncrestore.history.base import History
from asyncrestore.model.log import t_to_tx, tx_to_t
from asyncrestore.model.values import EPOCH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from datetime import datetime

    from asyncrestore.excision.excised import Excisions
    from asyncrestore.history.base import Part
    from asyncrestore.model.code import Found
    from asyncrestore.model.log import Datom, LogChunk
    from asyncrestore.model.schema import Schema
    from asyncrestore.model.state import State


class LimitedHistory(History):
    """A history without what comes after one of its transactions.

    Args:
        history: the whole history.
        last_t: the t of the last transaction to keep.
    """

    def __init__(self, history: History, last_t: int) -> None:
        self._history = history
        self.identity = history.identity
        self.where = f"{history.where} up to t {last_t}"
        self.bootstrap_t = history.bootstrap_t
        self.base = history.base
        self.tx_instant = history.tx_instant
        self.end = last_t + 1

    @override
    def parts(self, start: int) -> list[Part]:
        return [part for part in self._history.parts(start) if part.range.start < self.end]

    @override
    async def load(self, part: Part) -> AsyncIterator[LogChunk]:
        return self._cut(await self._history.load(part))

    async def _cut(self, chunks: AsyncIterator[LogChunk]) -> AsyncIterator[LogChunk]:
        last_tx = t_to_tx(self.end - 1)
        async for chunk in chunks:
            yield chunk.until(last_tx)
            if chunk and chunk.tx[-1] >= last_tx:
                return

    @override
    async def state(self, tx: int) -> State:
        """See `History`.

        Raises:
            UsageError: the transaction comes after the last one of this history.
        """
        if tx_to_t(tx) >= self.end:
            raise UsageError(
                f"The target has everything up to source t {tx_to_t(tx)}: that is after t {self.end - 1}",
                hint="Restore into a new database to have an earlier state.",
            )
        return await self._history.state(tx)

    @override
    async def schema(self) -> Schema:
        """See `History`: that of the whole history, so that an ident means the same wherever it ends."""
        return await self._history.schema()

    @override
    async def excisions(self) -> Excisions:
        """See `History`: of the whole history, for what is excised later is not to be restored either."""
        return await self._history.excisions()

    @override
    async def some(self, attributes: Collection[int], start: int, end: int) -> list[tuple[int, Datom]]:
        return await self._history.some(attributes, start, min(end, self.end))

    @override
    async def code(self, start: int, end: int) -> list[Found]:
        return await self._history.code(start, min(end, self.end))


def check_reaches(where: str, end: int, expect_t: int | None) -> None:
    """Checks that a backup has not lost its end: what is missing there shows nowhere else.

    Args:
        where: it is, for messages.
        end: the first t after it.
        expect_t: the t that it must reach at least; None for any.

    Raises:
        SegmentGap: it ends before that.
    """
    if expect_t is not None and end <= expect_t:
        raise SegmentGap(
            f"{where} ends at t {end - 1}, before t {expect_t}, which is expected",
            hint="Its newest segments are gone, or it is an earlier state of the backup.",
        ).about(place=where, t=end)


async def limit_history(history: History, until_t: int | None, until_time: datetime | None) -> History:
    """Returns the history up to a t, up to the last transaction not after a time, or all of it.

    Args:
        history: the whole history.
        until_t: the last t to keep.
        until_time: the time after which nothing is kept.

    Raises:
        UsageError: both are given, the time has no time zone, or the history begins later or ends before the
            t.
    """
    if until_t is not None and until_time is not None:
        raise UsageError("Both a t and a time were given to end at", hint="Choose one.")
    if until_time is not None:
        if until_time.tzinfo is None:
            raise UsageError(
                f"{until_time.isoformat()} has no time zone", hint="Add one, as in 2026-01-31T12:00:00Z."
            )
        return await _limit_time(history, until_time)
    if until_t is None:
        return history
    if until_t <= history.bootstrap_t:
        raise UsageError(
            f"{history.where} begins at t {history.bootstrap_t + 1}, after t {until_t}",
            hint="Name a later t.",
        )
    if until_t >= history.end:
        raise UsageError(
            f"{history.where} ends at t {history.end - 1}, before t {until_t}",
            hint="Back it up again, or leave out the t to have everything up to its end.",
        )
    return LimitedHistory(history, until_t)


async def _limit_time(history: History, time: datetime) -> History:
    if history.end == history.bootstrap_t + 1:
        raise UsageError(f"{history.where} is empty")
    last_t = await _last_until(history, (time - EPOCH) // timedelta(milliseconds=1))
    if last_t is None:
        raise UsageError(f"{history.where} begins after {time.isoformat()}", hint="Name a later time.")
    return LimitedHistory(history, last_t)


async def first_from(history: History, instant: int) -> tuple[int, int] | None:
    """Returns t and instant of the first transaction that is not before `instant`; None if there is none.

    Instants are in milliseconds since 1970.
    """
    before = await _last_until(history, instant - 1)
    chunk = await _chunk_from(history, (history.bootstrap_t if before is None else before) + 1, history.end)
    if chunk is None:
        return None
    tx_instant = (await history.schema()).id_of("db/txInstant")
    first = next(chunk.transactions())
    return first.t, first.instant(tx_instant) or 0


async def _last_until(history: History, instant: int) -> int | None:
    """Returns the t of the last transaction whose instant is not after `instant` (milliseconds since 1970).

    Instants never decrease along the log, so a bisection finds it; each step reads a chunk.
    """
    low, high, last = history.bootstrap_t + 1, history.end, None
    while low < high:
        middle = (low + high) // 2
        chunk = await _chunk_from(history, middle, high)
        if chunk is None:
            high = middle
            continue
        before = [
            transaction.t
            for transaction in chunk.transactions()
            if (transaction.instant(history.tx_instant) or 0) <= instant
        ]
        if not before:
            high = middle
            continue
        last = before[-1]
        if last != tx_to_t(chunk.tx[-1]):
            break
        low = last + 1
    return last


async def _chunk_from(history: History, start: int, end: int) -> LogChunk | None:
    """Returns the first few transactions with start <= t < end, None if there are none."""
    for part in history.parts(start):
        if part.range.start >= end:
            break
        async for chunk in await history.load(part):
            found = chunk.after(t_to_tx(start - 1)).until(t_to_tx(end - 1))
            if found:
                return found
            if chunk and chunk.tx[-1] >= t_to_tx(end):
                return None
    return None
