"""Checks what every database promises: all that backup, restore and verify depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import AsyncRestoreError
from asyncrestore.model import positions
from asyncrestore.model.commit import TxData
from asyncrestore.model.log import INDEX_MASK, t_to_tx, tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID, SUCCESSOR
from asyncrestore.testing.assertions import must

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database
    from asyncrestore.model.commit import Anomaly
    from asyncrestore.model.log import Transaction

_ALL = 1_000_000
_BATCHES, _BATCH = 6, 20
_ROOT = t_to_tx(10_000)
_NEW = 17 << 42
"""The source ids of the check's entities are this and above."""
_SCHEMA = f"""[
  {{:db/ident :{ORIGINAL_ID} :db/valueType :db.type/long :db/cardinality :db.cardinality/one
    :db/unique :db.unique/identity}}
  {{:db/ident :{SUCCESSOR} :db/valueType :db.type/long :db/cardinality :db.cardinality/one}}
  {{:db/ident :check/text :db/valueType :db.type/string :db/cardinality :db.cardinality/one}}
  {{:db/ident :check/ref :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}}
  {{:db/ident :check/pair :db/valueType :db.type/tuple :db/tupleTypes [:db.type/ref :db.type/long]
    :db/cardinality :db.cardinality/one}}]"""
_ORIGINAL_ID, _SUCCESSOR = positions.ident(ORIGINAL_ID), positions.ident(SUCCESSOR)
_TEXT, _REF, _PAIR = (positions.ident(f"check/{name}") for name in ("text", "ref", "pair"))


async def check_database(database: Database) -> None:
    """Checks that a new, empty database keeps the promises of `Database`; leaves data behind.

    Raises:
        AssertionError: it breaks a promise, which the message names.
    """
    await _check_new(database)
    await _check_edn(database)
    last = await _check_order(database)
    last = await _check_retraction(database, last)
    last = await _check_refusals(database, last)
    await _check_chain(database, last)
    await _check_log(database)
    await _check_lookups(database)


async def _check_new(database: Database) -> None:
    must(database.identity is None or bool(database.identity), "an identity is a text, or there is none")
    idents = {
        raw
        for _, (_, _, kind, raw, added) in (await database.schema_history()).rows()
        if added and kind == "k"
    }
    must(
        {"db/ident", "db/txInstant", "db.type/ref"} <= idents,
        "the history of idents begins with the base schema",
    )
    basis = await database.basis_t()
    next_t, _ = await database.read_log(0, basis + 1, size=_ALL)
    must(next_t is None, "a read to the end of the log says that there is no more")
    next_t, beyond = await database.read_log(basis + 1, basis + 1_000_000, size=_ALL)
    must(next_t is None and not len(beyond), "after the newest transaction there is nothing")


async def _check_edn(database: Database) -> None:
    before = await database.basis_t()
    root = f'[{{:db/id "datomic.tx" :{ORIGINAL_ID} {_ROOT}}} {{:db/id "x" :check/text "x"}}]'
    (_, _), (tx, tempids) = await database.transact_edn([_SCHEMA, root])
    must(tx == t_to_tx(await database.basis_t()), "the newest t is that of the last transaction")
    must(tx_to_t(tx) > before, "t grows")
    newest = await _newest(database)
    must(
        newest.tx == tx and any(d[0] == tempids["x"] and d[3] == "x" for d in newest.datoms),
        "the ids of tempids are returned",
    )
    try:
        await database.transact_edn(['[[:db/add "datomic.tx" :db/doc "kept"]]', '[{:no/such "attribute"}]'])
    except AsyncRestoreError:
        must(
            "kept" in [d[3] for d in (await _newest(database)).datoms],
            "what comes before a refused one is committed",
        )
    else:
        must(holds=False, promise="a refused transaction raises AsyncRestoreError")


async def _newest(database: Database) -> Transaction:
    basis = await database.basis_t()
    _, chunk = await database.read_log(basis, basis + 1, size=1)
    return next(chunk.transactions())


def _chained(previous: int, tx: int, *adds: Any) -> TxData:
    """Returns a transaction as a restore sends it: only after `previous`, and never twice."""
    return TxData(
        tx,
        [positions.TX, _ORIGINAL_ID, "l", tx, *adds],
        [],
        (positions.lookup(previous), _SUCCESSOR, tx),
    )


def _new(entity: int, text: str) -> tuple[Any, ...]:
    tempid = positions.tempid(entity)
    return (tempid, _ORIGINAL_ID, "l", entity, tempid, _TEXT, "s", text)


async def _check_order(database: Database) -> int:
    """Sends several batches, at once if they keep their order. Returns the last transaction's source id."""
    before = await database.basis_t()
    txs = [_ROOT + 2 * i for i in range(1, _BATCHES * _BATCH + 1)]
    sent = [
        _chained(previous, tx, *_new(_NEW + tx_to_t(tx), str(tx)))
        for previous, tx in zip([_ROOT, *txs], txs, strict=False)
    ]
    batches = [sent[i : i + _BATCH] for i in range(0, len(sent), _BATCH)]
    results = []
    if not database.ordered:
        results = [await (await database.submit(batch)).result() for batch in batches[:-1]]
    submissions = [await database.submit(batch) for batch in batches[len(results) :]]
    newest = await database.basis_t()
    results += [await submission.result() for submission in submissions]
    must(all(r.anomaly is None for r in results), "batches commit in the order in which they were submitted")
    committed = [each for result in results for each in result.committed]
    must(len(committed) == len(sent), "each transaction of a batch has an answer")
    must(t_to_tx(newest) == committed[-1].tx, "the newest t is asked for behind all that was sent before")
    for each, data in zip(committed, sent, strict=True):
        must(each.before == before, "an answer has the t just before its transaction")
        before = tx_to_t(each.tx)
        must(
            list(each.ids[0::2]) == [_NEW + tx_to_t(data.tx)],
            "an answer names the new entities by their tempids",
        )
    _, chunk = await database.read_log(tx_to_t(committed[0].tx), before + 1, size=_ALL)
    found = [
        (transaction.tx, next(d[0] for d in transaction.datoms if d[3] == str(data.tx)))
        for transaction, data in zip(chunk.transactions(), sent, strict=True)
    ]
    must(
        found == [(each.tx, each.ids[1]) for each in committed],
        "the log has them, with the ids of the answers",
    )
    return txs[-1]


async def _check_retraction(database: Database, last: int) -> int:
    """Retracts the text of the newest entity. Returns the last transaction's source id."""
    retracts = [positions.lookup(_NEW + tx_to_t(last)), _TEXT, "s", str(last)]
    data = _chained(last, last + 2)
    result = await (await database.submit([replace(data, retracts=retracts)])).result()
    must(len(result.committed) == 1, "a retraction is committed")
    retracted = [d[3] for d in (await _newest(database)).datoms if not d[4]]
    must(retracted == [str(last)], "and the log has it")
    return last + 2


async def _refusal(database: Database, *batch: TxData) -> tuple[int, Anomaly]:
    result = await (await database.submit(batch)).result()
    must(result.anomaly is not None, "what cannot be committed gives an anomaly")
    assert result.anomaly is not None
    return len(result.committed), result.anomaly


async def _check_refusals(database: Database, last: int) -> int:
    """Checks that the kinds of refusal can be told apart. Returns the last transaction's source id."""
    unknown, basis = t_to_tx(1), await database.basis_t()
    count, anomaly = await _refusal(database, _chained(unknown, last + 1))
    must(
        (count, anomaly.error, anomaly.entity) == (0, "not-an-entity", unknown),
        "a missing predecessor is named",
    )
    count, anomaly = await _refusal(database, _chained(_ROOT, last + 1))
    must((count, anomaly.error, anomaly.entity) == (0, "cas-failed", _ROOT), "a failed swap names its entity")
    must(anomaly.present == _ROOT + 2, "and the value that is there")
    tempid, dangling = positions.tempid(_NEW), positions.lookup(_NEW + INDEX_MASK)
    for add in (
        (tempid, _REF, "r", dangling),
        (tempid, _PAIR, "t", (("r", dangling), ("l", 1))),
        (dangling, _TEXT, "s", "x"),
    ):
        _, anomaly = await _refusal(database, _chained(last, last + 1, tempid, _ORIGINAL_ID, "l", _NEW, *add))
        must(
            (anomaly.error, anomaly.entity) == ("not-an-entity", _NEW + INDEX_MASK),
            "an unknown entity is named",
        )
    _, anomaly = await _refusal(database, _chained(last, last + 1, positions.TX, _TEXT, "l", 5))
    must(anomaly.error not in {"not-an-entity", "cas-failed"}, "other refusals can be told from these")
    must(await database.basis_t() == basis, "what is refused leaves nothing")
    return last


async def _check_chain(database: Database, last: int) -> None:
    """Has one of several refused: those before it are there, and none that is chained to it."""
    bad = _chained(last + 2, last + 4, positions.TX, _TEXT, "l", 5)
    first = await database.submit([_chained(last, last + 2), bad, _chained(last + 4, last + 6)])
    second = await database.submit([_chained(last + 6, last + 8)])
    result, behind = await first.result(), await second.result()
    must(
        len(result.committed) == 1 and result.anomaly is not None,
        "those before the refused one are committed",
    )
    must(not behind.committed, "none in flight behind it is")
    must(t_to_tx(await database.basis_t()) == result.committed[0].tx, "and nothing is left of them")


async def _check_log(database: Database) -> None:
    end = await database.basis_t() + 1
    _, whole = await database.read_log(0, end, size=_ALL)
    txs = whole.txs()
    must(txs == sorted(set(txs)), "the log is in order, and each transaction stands together")
    for size in (1, 7, 1000):
        start: int | None = 0
        rows = []
        while start is not None:
            start, chunk = await database.read_log(start, end, size=size)
            rows += list(chunk.rows())
        must(rows == list(whole.rows()), f"read in pages of {size}, the log is the same")
    ts = [tx_to_t(tx) for tx in txs]
    must(list(await database.transaction_ts(0, end)) == ts, "the t of all transactions are those of the log")
    must(list(await database.transaction_ts(ts[-3], ts[-1])) == ts[-3:-1], "and so are those of a range")
    must(not list(await database.transaction_ts(end, end + 1000)), "and there are none after the newest")
    middle = txs[-3]
    _, chunk = await database.read_log(tx_to_t(middle), tx_to_t(txs[-2]), size=_ALL)
    must(chunk.txs() == [middle], "a range includes its start, and not its end")


async def _check_lookups(database: Database) -> None:
    (_, tempids), *_ = await database.transact_edn([f'[{{:db/id "a" :{ORIGINAL_ID} 5}}]'])
    entity = tempids["a"]
    must(
        await database.entities_with(ORIGINAL_ID, [5, 6]) == [[entity], []],
        "the entities with a value are found",
    )
    must(await database.values_of(ORIGINAL_ID, [entity, 0]) == [5, None], "values of entities are found")
