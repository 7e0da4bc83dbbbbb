"""Wrappers of a database: one records what is committed to it, one ends early."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from asyncrestore.datomic import frames
from asyncrestore.datomic.base import Submission
from asyncrestore.datomic.transactions import batch_columns
from asyncrestore.testing import DatabaseWrapper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.commit import BatchResult, TxData


class EndingAt(DatabaseWrapper):
    """The database as if its newest transaction had the given t."""

    def __init__(self, database: Database, last_t: int) -> None:
        super().__init__(database)
        self._last_t = last_t

    async def basis_t(self) -> int:
        """See `Database`."""
        return self._last_t


class Recorded(DatabaseWrapper):
    """Writes each transaction that is committed, as the bridge got it, with its answer, to a file."""

    def __init__(self, database: Database, file: BinaryIO) -> None:
        super().__init__(database)
        self._file = file
        self._submitted: deque[_RecordedSubmission] = deque()
        self.transactions = 0

    async def submit(self, batch: Sequence[TxData]) -> Submission:
        """See `Database`."""
        submission = _RecordedSubmission(self, list(batch), await self.inner.submit(batch))
        self._submitted.append(submission)
        return submission

    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        """See `Database`; writes the text of each, and its answer as if nothing had been made."""
        done = await self.inner.transact_edn(transactions)
        for text, (tx, _) in zip(transactions, done, strict=True):
            self._file.write(frames.encode((text, frames.pack([0, tx]))))
            self.transactions += 1
        return done

    def write_answered(self) -> None:
        """Writes what is answered, in the order of submission: several are awaited at once, in any order."""
        while self._submitted and self._submitted[0].answer is not None:
            submission = self._submitted.popleft()
            assert submission.answer is not None
            for data, done in zip(submission.batch, submission.answer.committed, strict=False):
                answer = frames.pack([done.before, done.tx, *done.ids])
                self._file.write(frames.encode((batch_columns([data]), answer)))
                self.transactions += 1


class _RecordedSubmission(Submission):
    def __init__(self, database: Recorded, batch: list[TxData], submission: Submission) -> None:
        self._database = database
        self._submission = submission
        self.batch = batch
        self.answer: BatchResult | None = None

    async def result(self) -> BatchResult:
        """See `Submission`."""
        self.answer = await self._submission.result()
        self._database.write_answered()
        return self.answer
