"""The target of a restore: what it holds, where to continue, and the bookkeeping installed in it.

The target itself is the only record of progress. Bookkeeping is installed in two transactions dated at the
epoch itself, so
that every source instant can follow, and a restored database that is itself a source shows them as bootstrap:
the first
makes the attributes, the second names the source and stands for its last bootstrap transaction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.bootstrap import find_beginning
from asyncrestore.errors import AsyncRestoreError, Conflict, Overtaken, Unavailable
from asyncrestore.model import t_to_tx
from asyncrestore.schema import ORIGINAL_ID, PLACEHOLDER, SOURCE, SUCCESSOR

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
        instant: of both, in milliseconds since 1970.
    """

    source_tx: int
    target_t: int
    instant: int | None


async def prepare_target(target: Database, history: History) -> Marker:
    """Finds where to continue in the target, and installs the bookkeeping if the target is empty.

    Raises:
        Conflict: it holds something else: data of its own, another source's, or something written after the
        last restore.
    """
    attributes = bookkeeping_attributes(await target.schema_history())
    if not attributes:
        await check_empty(target)
        refusal = await _refusal(target, _ATTRIBUTES)
        attributes = bookkeeping_attributes(await target.schema_history())
        _check_installed(target, refusal, by_another=bool(attributes))
    marker = await _find_marker(target, history, attributes)
    if marker is None:
        refusal = await _refusal(target, _name_of_source(history))
        marker = await _find_marker(target, history, attributes)
        _check_installed(target, refusal, by_another=marker is not None)
        assert marker is not None
    return marker


def bookkeeping_attributes(schema: LogChunk) -> dict[str, int]:
    """Entity ids of this project's bookkeeping attributes by ident, from `Database.schema_history`."""
    return _ids(schema, {ORIGINAL_ID, SUCCESSOR, SOURCE, PLACEHOLDER})


def _ids(schema: LogChunk, idents: set[str]) -> dict[str, int]:
    return {
        str(raw): e
        for _, (e, _, kind, raw, added) in schema.rows()
        if kind == "k" and added and raw in idents
    }


async def check_empty(target: Database) -> None:
    """Makes sure that a target has nothing but what it was born with.

    Raises:
        Conflict: it has data of its own.
    """
    basis_t = await target.basis_t()
    first = (await find_beginning(target)).first
    if first is not None:
        raise Conflict(f"{target.uri} has data of its own, from t {first.t} to {basis_t}", hint=_ANOTHER)


async def _refusal(target: Database, transaction: str) -> AsyncRestoreError | None:
    """Commits one transaction (EDN); answers why the target refused it, if it did."""
    try:
        await target.transact_edn([transaction])
    except Unavailable:
        raise
    except AsyncRestoreError as refusal:
        return refusal
    return None


def _check_installed(target: Database, refusal: AsyncRestoreError | None, *, by_another: bool) -> None:
    if refusal is not None and by_another:
        raise Overtaken(
            f"Another restore has just begun to write to {target.uri}",
            hint="Let the other one finish, or run this again when it has ended.",
        )
    if refusal is not None:
        raise refusal


# Two restores may find a target empty at once: the swap lets only one of them install. (Unique idents do not:
# the attributes of the second would be found to be those of the first.) The tag has a meaning on value types
# only, so on :db.part/tx, which every base schema has, it is free.
_ATTRIBUTES = f"""[
  {{:db/id "datomic.tx" :db/txInstant #inst "1970-01-01"}}
  {{:db/ident :{ORIGINAL_ID} :db/valueType :db.type/long :db/cardinality :db.cardinality/one
    :db/unique :db.unique/identity}}
  {{:db/ident :{SUCCESSOR} :db/valueType :db.type/long :db/cardinality :db.cardinality/one}}
  {{:db/ident :{SOURCE} :db/valueType :db.type/string :db/cardinality :db.cardinality/one}}
  {{:db/ident :{PLACEHOLDER} :db/valueType :db.type/ref :db/cardinality :db.cardinality/many
    :db/isComponent true}}
  [:db/cas :db.part/tx :fressian/tag nil :asyncrestore/target]]"""


def _name_of_source(history: History) -> str:
    """The second installing transaction: unique by its original id, so it too commits only once."""
    return (
        f'[{{:db/id "datomic.tx" :db/txInstant #inst "1970-01-01" :{SOURCE} {json.dumps(history.identity)}'
        f" :{ORIGINAL_ID} {t_to_tx(history.bootstrap_t)}}}]"
    )


async def _find_marker(target: Database, history: History, attributes: dict[str, int]) -> Marker | None:
    """The marker; None when only the attributes are installed: a restore was killed just there."""
    basis_t, beginning = await target.basis_t(), await find_beginning(target)
    source = await recorded_source(target, beginning.bootstrap_t)
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
            tx_instant = _ids(await target.schema_history(), {"db/txInstant"})["db/txInstant"]
            return Marker(raw, basis_t, newest.instant(tx_instant))
    if source is None and beginning.first is None:
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
