"""The target of a restore: what it holds, where to continue, and the bookkeeping installed in it.

The target itself is the only record of progress. The bookkeeping is installed in two transactions. The first
makes the attributes; the second names the source, stands for its last bootstrap transaction, and gives the
target a UUID of its own: a target that is deleted and restored again is another database. Both are dated at
the epoch, so that every instant of the source can follow, and so that they look like bootstrap where the
restored database is itself a source.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from asyncrestore.errors import AsyncRestoreError, Conflict, DatabaseFailed, Overtaken, Unavailable
from asyncrestore.filters.filter import describe, goes_on
from asyncrestore.history.bootstrap import MADE_AGAIN, beginning_until, recorded
from asyncrestore.history.copies import Marker, ids_with, original_ids, own_attributes, recorded_filter
from asyncrestore.model.log import t_to_tx
from asyncrestore.model.schema import (
    COPY,
    FILTER,
    ORIGINAL_ID,
    PLACEHOLDER,
    SOURCE,
    SUCCESSOR,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from asyncrestore.datomic.base import Database
    from asyncrestore.history.base import History
    from asyncrestore.history.bootstrap import Beginning
    from asyncrestore.model.log import LogChunk


_LAST_OF_BASE = "db/tupleAttrs"
_ANOTHER = "Restore into another, new database: a target that does not exist is created."


async def prepare_target(
    target: Database,
    history: History,
    rules: Sequence[str] = (),
    *,
    check: Callable[[int], Awaitable[None]],
) -> Marker:
    """Finds where to continue in the target, and installs the bookkeeping if the target is empty.

    Args:
        target: the database to restore into.
        history: the history to restore.
        rules: what is left out of the history and rewritten (see `Filter`).
        check: awaited with the source id of the transaction to continue after, before anything is written.

    Raises:
        Conflict: the target holds something else: data of its own, another source's history, the same history
            filtered in another way, or something written after the last restore.
        Overtaken: another restore installed its bookkeeping first.
    """
    held, refusal = await _look(target), None
    if not held.attributes:
        _check_nothing_own(target, held.basis_t, held.beginning)
        _check_base(target, held.schema_log)
        await check(t_to_tx(history.bootstrap_t))
        # Both in one request: a target may be far away.
        refusal = await _refusal(target, _ATTRIBUTES, _name_of_source(history, rules, uuid4()))
        held = await _look(target)
        if refusal is not None and not held.attributes:
            raise refusal
    marker = await _find_marker(target, history, rules, held)
    if marker is None:
        # Another restore ended between the two transactions, or is between them now. Both restores may try to
        # name the source; one of them succeeds, and its UUID counts. A version of this program that gives
        # none may have made the attributes.
        await check(t_to_tx(history.bootstrap_t))
        copy = uuid4() if COPY in held.attributes else None
        refusal = await _refusal(target, _name_of_source(history, rules, copy))
        marker = await _find_marker(target, history, rules, await _look(target))
    if refusal is not None:
        raise refusal if marker is None else _overtaken(target)
    assert marker is not None
    await check(marker.source_tx)
    return marker


@dataclass(frozen=True, slots=True)
class _Held:
    """What a target holds as of one t: another restore may be writing.

    Attributes:
        basis_t: that t.
        schema_log: its `schema_history`, read after that moment.
        attributes: ids by ident, of this project's bookkeeping attributes.
        beginning: where its own history begins.
    """

    basis_t: int
    schema_log: LogChunk
    attributes: dict[str, int]
    beginning: Beginning

    def recorded(self, ident: str) -> list[str]:
        """Returns what the installation recorded under a bookkeeping attribute."""
        return recorded(self.beginning.head, self.attributes.get(ident))


async def _look(target: Database) -> _Held:
    # The schema is read after the t, or a restore that just begins would look like data of the target's own.
    basis_t = await target.basis_t()
    schema_log = await target.schema_history()
    beginning = await beginning_until(target, basis_t, schema_log)
    return _Held(basis_t, schema_log, own_attributes(schema_log), beginning)


async def check_empty(target: Database) -> None:
    """Checks that a target has nothing but its bootstrap.

    Raises:
        Conflict: the target has data of its own.
    """
    held = await _look(target)
    _check_nothing_own(target, held.basis_t, held.beginning)


def _check_nothing_own(target: Database, basis_t: int, beginning: Beginning) -> None:
    if beginning.first is not None:
        raise Conflict(
            f"{target.uri} has data of its own, from t {beginning.first.t} to {basis_t}", hint=_ANOTHER
        )


async def _refusal(target: Database, *transactions: str) -> AsyncRestoreError | None:
    """Commits transactions (EDN) up to the first that the target refuses; returns why it did, if it did."""
    try:
        await target.transact_edn(list(transactions))
    except (Unavailable, DatabaseFailed):
        raise
    except AsyncRestoreError as refusal:
        return refusal
    return None


def _overtaken(target: Database) -> Overtaken:
    return Overtaken(
        f"Another restore has just begun to write to {target.uri}",
        hint="Let the other one finish, or run this again when it has ended.",
    )


# Two restores may find a target empty at once: the compare-and-swap lets only one of them install. (Unique
# idents would not: the attributes of the second would be taken for those of the first.) The tag has a meaning
# on value types only, so it is free on :db.part/tx, which every base schema has.
_ATTRIBUTES = f"""[
  {{:db/id "datomic.tx" :db/txInstant #inst "1970-01-01"}}
  {{:db/ident :{ORIGINAL_ID} :db/valueType :db.type/long :db/cardinality :db.cardinality/one
    :db/unique :db.unique/identity}}
  {{:db/ident :{SUCCESSOR} :db/valueType :db.type/long :db/cardinality :db.cardinality/one}}
  {{:db/ident :{SOURCE} :db/valueType :db.type/string :db/cardinality :db.cardinality/one}}
  {{:db/ident :{COPY} :db/valueType :db.type/string :db/cardinality :db.cardinality/one}}
  {{:db/ident :{FILTER} :db/valueType :db.type/string :db/cardinality :db.cardinality/many}}
  {{:db/ident :{PLACEHOLDER} :db/valueType :db.type/ref :db/cardinality :db.cardinality/many
    :db/isComponent true}}
  [:db/cas :db.part/tx :fressian/tag nil :asyncrestore/target]]"""


def _name_of_source(history: History, rules: Sequence[str], copy: UUID | None) -> str:
    """Returns the second installing transaction. Its unique original id lets it, too, commit only once."""
    copy_ = f' :{COPY} "{copy}"' if copy else ""
    filter_ = f" :{FILTER} [{' '.join(map(json.dumps, rules))}]" if rules else ""
    return (
        f'[{{:db/id "datomic.tx" :db/txInstant #inst "1970-01-01" :{SOURCE} {json.dumps(history.identity)}'
        f" :{ORIGINAL_ID} {t_to_tx(history.bootstrap_t)}{copy_}{filter_}}}]"
    )


async def _find_marker(
    target: Database, history: History, rules: Sequence[str], held: _Held
) -> Marker | None:
    """Returns the marker, None if only the attributes are installed: a restore was killed just then."""
    source = next(iter(held.recorded(SOURCE)), None)
    if source is not None and source != history.identity:
        raise Conflict(
            f"{target.uri} was restored from another database ({source}) than {history.where} "
            f"({history.identity})",
            hint=f"{MADE_AGAIN} {_ANOTHER}",
        )
    if source is not None:
        _check_rules(target, held.recorded(FILTER), rules)
    basis_t, beginning = held.basis_t, held.beginning
    newest = beginning.head[-1] if beginning.head else None
    if beginning.first is not None:
        _, chunk = await target.read_log(basis_t, basis_t + 1, size=1)
        newest = next(chunk.transactions())
    if newest is not None:
        source_tx = original_ids(newest, held.attributes[ORIGINAL_ID]).get(newest.tx)
        if source_tx is not None:
            tx_instant = ids_with(held.schema_log, {"db/txInstant"})["db/txInstant"]
            return Marker(source_tx, basis_t, newest.instant(tx_instant))
    if source is None and beginning.first is None:
        return None
    raise Conflict(
        f"{target.uri}: its newest transaction, t {basis_t}, was not written by a restore", hint=_ANOTHER
    )


async def check_filter(target: Database, bootstrap_t: int, rules: Sequence[str]) -> None:
    """Checks that a restored target was filtered in this way.

    Raises:
        Conflict: it was filtered in another way, or not at all.
    """
    _check_rules(target, await recorded_filter(target, bootstrap_t), rules)


def _check_base(target: Database, schema_log: LogChunk) -> None:
    """Checks that the target has all of its base schema.

    Datomic Local creates a database in several transactions; killed meanwhile, it leaves a part of them.
    """
    if not ids_with(schema_log, {_LAST_OF_BASE}):
        raise Conflict(
            f"{target.uri} lacks a part of Datomic's base schema (:{_LAST_OF_BASE})",
            hint="If its creation was interrupted, it holds nothing: delete it and run this again. "
            "If an older version of Datomic created it, upgrade its base schema.",
        )


def _check_rules(target: Database, recorded: Sequence[str], rules: Sequence[str]) -> None:
    if not goes_on(recorded, rules):
        raise Conflict(
            f"{target.uri} was restored with {describe(recorded)}; now it is {describe(rules)}",
            hint="Give the same `exclude`, `rewrite`, key and `fit_target` as then, or restore into another, "
            "new database.",
        )
