"""What a database offers: all that backup, restore and verify need of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.model.commit import BatchResult, TxData
    from asyncrestore.model.log import LogChunk


class Submission(ABC):
    """A batch of transactions under way."""

    @abstractmethod
    async def result(self) -> BatchResult:
        """Waits for the batch's outcome.

        Raises:
            OutcomeUnknown: no answer came; any number of its transactions may have committed.
        """


class Database(ABC):
    """An open Datomic database.

    Every method may raise `Unavailable` (no answer, and nothing works at one), `BridgeDied`, `NotAuthorized`,
    or `AsyncRestoreError` for an error that has no class of its own.

    Attributes:
        name: the database's name.
        uri: the URI that it was opened with, without secrets.
        identity: a text that identifies this database for ever, and no other; None if the engine has none.
        ordered: whether batches commit in the order in which they were submitted. Without this promise a
            restore submits each transaction by itself, and some commit out of order.
    """

    name: str
    uri: str
    identity: str | None
    ordered: bool

    @abstractmethod
    async def basis_t(self) -> int:
        """Returns the t of the newest transaction, once all that was sent before has landed.

        So whoever asks never misses what a call that was cancelled had sent.
        """

    @abstractmethod
    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        """Reads whole transactions with start <= t < end, until their datoms weigh `size` (`model.weight`).

        Returns:
            The t to continue from, None when `end` or the log's end is reached; and the datoms.
        """

    @abstractmethod
    async def transaction_ts(self, start: int, end: int) -> Sequence[int]:
        """Returns the t of each transaction with start <= t < end, in order.

        They come from something other than `read_log`: an index of the transactions, or the newest t where t
        is consecutive. So a log that is read wrong can be noticed.
        """

    @abstractmethod
    async def schema_history(self) -> LogChunk:
        """Returns all datoms, also retracted ones, of the attributes that make up the schema, unordered."""

    @abstractmethod
    async def submit(self, batch: Sequence[TxData]) -> Submission:
        """Sends transactions to be committed one after the other, in order, up to the first that fails.

        If `ordered`, batches commit in the order of the calls, even while earlier ones are under way.
        """

    @abstractmethod
    async def transact_edn(self, transactions: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
        """Commits transactions written as EDN, each a vector of Datomic's transaction data.

        Returns:
            For each transaction its id, and the entity ids by tempid.

        Raises:
            AsyncRestoreError: a transaction was refused; those before it are committed.
        """

    @abstractmethod
    async def entities_with(self, attribute: str, values: Sequence[int]) -> list[list[int]]:
        """Returns, for each of `values`, the entities that now have it as their value of `attribute`.

        Args:
            attribute: ident of a unique attribute of type long.
            values: any number; an empty list is returned for one that no entity has.
        """

    @abstractmethod
    async def values_of(self, attribute: str, entities: Sequence[int]) -> list[int | None]:
        """Returns, for each of `entities`, its present value of `attribute`.

        Args:
            attribute: ident of an attribute of type long and cardinality one.
            entities: any number of ids; None is returned for one without a value or that does not exist.
        """
