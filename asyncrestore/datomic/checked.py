"""A database whose log is held against its index as it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from asyncrestore.datomic.wrapper import DatabaseWrapper
from asyncrestore.errors import Unavailable
from asyncrestore.model.log import tx_to_t
from asyncrestore.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import LogChunk

REREAD_S = 10.0
"""For how long a log that is read wrong is read again before that is an error, in seconds."""

_OWN_T = 1000
"""Where a database of Pro begins with its own transactions. A new one has a basis t (66) without a
transaction."""

_SHOWN = 5


class CheckedDatabase(DatabaseWrapper):
    """A `Database` whose `read_log` returns each transaction of a range, or raises `Unavailable`.

    A log may be read wrong once: `tx-range` of Datomic Pro 1.0.7010 to 1.0.7020 left a durable transaction
    out for a while (its change log, 1.0.7021). Nobody would notice, because what a segment covers is the
    range that was asked for. So what came is compared with `transaction_ts` and with the basis t that the
    database said last, which are other readings.

    Args:
        database: an open one.
        reread_s: for how long a page that lacks transactions, or has too many, is read again.
    """

    def __init__(self, database: Database, *, reread_s: float = REREAD_S) -> None:
        super().__init__(database)
        self._reread_s = reread_s
        self._basis_t: int | None = None

    @override
    async def basis_t(self) -> int:
        """See `Database`. A page of the log that should hold this t is read wrong if it does not."""
        self._basis_t = await self.inner.basis_t()
        return self._basis_t

    @override
    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        """See `Database`.

        Raises:
            Unavailable: the page was read wrong for `reread_s` seconds, each time that it was read.
        """
        patience = Patience(self._reread_s)
        while True:
            next_t, chunk = await self.inner.read_log(start, end, size=size)
            read = [tx_to_t(tx) for tx in chunk.txs()]
            page_end = end if next_t is None else next_t
            expected = list(await self.inner.transaction_ts(start, page_end))
            # The index may lack the newest one as well: that there is one says a third reading.
            if self._basis_t is not None and max(start, _OWN_T) <= self._basis_t < page_end:
                expected = sorted({*expected, self._basis_t})
            if read == expected:
                return next_t, chunk
            await patience.wait(_read_wrong(self.uri, read, expected))


def _read_wrong(uri: str, read: Sequence[int], expected: Sequence[int]) -> Unavailable:
    missing, unknown = sorted(set(expected) - set(read)), sorted(set(read) - set(expected))
    if missing:
        wrong = f"lacks t {_listed(missing)}, which the database has"
    elif unknown:
        wrong = f"has t {_listed(unknown)}, which the database does not have"
    else:
        wrong = f"has t {read[0]} to {read[-1]} out of order, or one of them twice"
    return Unavailable(
        f"{uri}: the log, as it was read, {wrong}",
        hint="Run the same command again: what was read wrong has not been used. If this persists, restart "
        "the database's processes; Datomic Pro 1.0.7010 to 1.0.7020 need an upgrade, and files of Datomic "
        "Local may be damaged.",
    )


def _listed(ts: Sequence[int]) -> str:
    more = f" and {len(ts) - _SHOWN} more" if len(ts) > _SHOWN else ""
    return ", ".join(map(str, ts[:_SHOWN])) + more
