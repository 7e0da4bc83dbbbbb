"""Checks what a restore is about to write for code, before it writes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncrestore.history.copies import ids_of
from asyncrestore.model.code import once
from asyncrestore.model.log import tx_to_t
from asyncrestore.pipeline.code_guard import GUARDED, CodeGuard

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.filters.filter import Filter
    from asyncrestore.history.base import History
    from asyncrestore.model.code import AllowedCode, Code, Found
    from asyncrestore.model.schema import Schema


class CodeCheck:
    """The check of one restore.

    Args:
        history: to restore.
        allowed: which code may reach the target.
        filter_: what is left out of the history, if anything is.
        segments: at most this many parts of the history are to be restored; all if None.

    Attributes:
        history: that of the arguments.
        reach: what is to be restored: the first t of it, and the first t after it.
    """

    def __init__(
        self, history: History, allowed: AllowedCode, filter_: Filter | None, segments: int | None
    ) -> None:
        self.history = history
        self.reach = (0, 0)
        self._allowed = allowed
        self._filter = filter_
        self._segments = segments
        self._found: list[Found] = []
        self._after: int | None = None

    @property
    def codes(self) -> list[Code]:
        """What was found, each name with each attribute once."""
        return once(self._found)

    def leaves_out(self, e: int, a: int) -> bool:
        """Returns whether datoms of this entity and attribute are left out."""
        return self._filter is not None and self._filter.leaves_out(e, a)

    async def after(self, source_tx: int) -> None:
        """Reads what is to be restored after a transaction of the source, and checks it.

        Raises:
            UsageError: it has code that is not allowed.
        """
        if self._after == source_tx:
            return
        self._after, start, history = source_tx, tx_to_t(source_tx) + 1, self.history
        parts = history.parts(start)[: self._segments]
        end = min(parts[-1].range.end, history.end) if parts else start
        self.reach = start, max(start, end)
        found = await history.code(start, end) if start < end else []
        self._found = [each for each in found if not self.leaves_out(each.code.entity, each.a)]
        self._allowed.check(self.codes, history.where)

    async def guard(self, target: Database, schema: Schema) -> CodeGuard:
        """Returns the guard for what is sent to the target.

        Args:
            target: with its base schema.
            schema: of the source, as of before the first transaction.
        """
        return CodeGuard(self._allowed, self._found, schema, await ids_of(target, GUARDED))
