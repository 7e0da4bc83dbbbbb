"""The target of a restore: what it holds, where to continue, and the bookkeeping installed in it.

The target itself is the only record of progress. Bookkeeping is installed in two transactions dated at the
epoch itself, so
that every source instant can follow, and a restored database that is itself a source shows them as bootstrap:
the first
makes the attributes, the second names the source and stands for its last bootstrap transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.bootstrap import find_bootstrap_t
from asyncrestore.datomic.frames import keyword
from asyncrestore.errors import AsyncRestoreError, Conflict
from asyncrestore.model import TxData, t_to_tx, tx_to_t
from asyncrestore.resolve import ORIGINAL_ID_KEY, TX_TEMPID
from asyncrestore.schema import ORIGINAL_ID, SOURCE, SUCCESSOR

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.history import History
    from asyncrestore.model import LogChunk

_ANOTHER = "Restore into another, new database: a target that does not exist is created."


@dataclass(frozen=True, slots=True)
class Marker:
    """How far a target is.

    Attributes:
        source_tx: source id of the last restored transaction (or of the source's last bootstrap transaction).
        target_t: the target's own t of it, which is its newest.
    """

    source_tx: int
    target_t: int


async def prepare_target(target: Database, history: History) -> Marker:
    """Finds where to continue in the target, and installs the bookkeeping if the target is empty.

    Raises:
        Conflict: it holds something else: data of its own, another source's, or something written after the
        last restore.
    """
    attributes = bookkeeping_attributes(await target.schema_history())
    if not attributes:
        await _check_empty(target)
        await _install_attributes(target)
        attributes = bookkeeping_attributes(await target.schema_history())
    return await _find_marker(target, history, attributes) or await _install_marker(target, history)


def bookkeeping_attributes(schema: LogChunk) -> dict[str, int]:
    """Entity ids of this project's bookkeeping attributes by ident, from `Database.schema_history`."""
    names = {ORIGINAL_ID, SUCCESSOR, SOURCE}
    return {
        str(raw): e for _, (e, _, kind, raw, added) in schema.rows() if kind == "k" and added and raw in names
    }


async def _check_empty(target: Database) -> None:
    basis_t = await target.basis_t()
    bootstrap_t = await find_bootstrap_t(target)
    if bootstrap_t < basis_t:
        raise Conflict(
            f"{target.uri} has data of its own, from t {bootstrap_t + 1} to {basis_t}", hint=_ANOTHER
        )


async def _commit(target: Database, transaction: TxData, what: str) -> int:
    """Commits one transaction; answers the t it got in the target."""
    submission = await target.submit([transaction])
    result = await submission.result()
    if result.anomaly is not None:
        raise AsyncRestoreError(f"{target.uri} refused {what}: {result.anomaly.message}")
    return tx_to_t(result.committed[0].tx)


async def _install_attributes(target: Database) -> None:
    ident, value_type, cardinality = keyword("db/ident"), keyword("db/valueType"), keyword("db/cardinality")
    adds = [TX_TEMPID, keyword("db/txInstant"), "i", 0]
    for number, (name, type_) in enumerate(((ORIGINAL_ID, "long"), (SUCCESSOR, "long"), (SOURCE, "string"))):
        tempid = str(number)
        adds += (tempid, ident, "k", name)
        adds += (tempid, value_type, "r", keyword(f"db.type/{type_}"))
        adds += (tempid, cardinality, "r", keyword("db.cardinality/one"))
    adds += ("0", keyword("db/unique"), "r", keyword("db.unique/identity"))
    await _commit(target, TxData(0, adds, []), "the bookkeeping attributes")


async def _install_marker(target: Database, history: History) -> Marker:
    source_tx = t_to_tx(history.bootstrap_t)
    adds = [TX_TEMPID, keyword("db/txInstant"), "i", 0]
    adds += (TX_TEMPID, keyword(SOURCE), "s", history.identity)
    adds += (TX_TEMPID, ORIGINAL_ID_KEY, "l", source_tx)
    return Marker(source_tx, await _commit(target, TxData(source_tx, adds, []), "the source's name"))


async def _find_marker(target: Database, history: History, attributes: dict[str, int]) -> Marker | None:
    """The marker; None when only the attributes are installed: a restore was killed just there."""
    basis_t, bootstrap_t = await target.basis_t(), await find_bootstrap_t(target)
    source = await recorded_source(target, bootstrap_t)
    if source is not None and source != history.identity:
        raise Conflict(
            f"{target.uri} was restored from another database ({source}) than {history.where} "
            f"({history.identity})",
            hint=_ANOTHER,
        )
    _, chunk = await target.read_log(basis_t, basis_t + 1, size=1)
    newest = next(chunk.transactions())
    for e, a, _, raw, added in newest.datoms:
        if e == newest.tx and a == attributes[ORIGINAL_ID] and added and isinstance(raw, int):
            return Marker(raw, basis_t)
    if source is None and bootstrap_t == basis_t:
        return None
    raise Conflict(
        f"{target.uri}: its newest transaction, t {basis_t}, was not written by a restore", hint=_ANOTHER
    )


async def recorded_source(target: Database, bootstrap_t: int) -> str | None:
    """Identity of the database that the target was restored from, None if it was not."""
    attributes = bookkeeping_attributes(await target.schema_history())
    start: int | None = 0
    while start is not None:
        start, chunk = await target.read_log(start, bootstrap_t + 1, size=4096)
        for _, (_, a, _, raw, added) in chunk.rows():
            if a == attributes.get(SOURCE) and added:
                return str(raw)
    return None
