"""Compares a copy, or a copy of a copy, with its source; uses nothing of what the library compares with."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from asyncrestore.datomic.engines import parse_uri
from asyncrestore.datomic.uri import LOCAL
from asyncrestore.model.log import TX_PARTITION, Transaction, tx_to_t
from tests.support.engines import behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncrestore.datomic.base import Database
    from asyncrestore.model.log import Datom

IDENT = 10
"""The entity id of :db/ident, in Local as in Pro."""

INSTALL, ALTER = 13, 19
"""Those of :db.install/attribute and :db.alter/attribute."""

INDEX = 44
"""That of :db/index in Pro."""

DOC = 62
"""That of :db/doc in Pro."""

FIRST_OF_USERS = 72
"""The first that is not of Pro's base schema."""

CARDINALITY, MANY = 41, 36
"""Those of :db/cardinality and :db.cardinality/many."""

INSTALLING = 2
"""How many transactions of a copy install the bookkeeping, before the first restored one."""

FIRST_T, FIRST_PRO_T = 6, 1000
"""The t of the first transaction that is not part of the bootstrap, in Datomic Local and in Pro."""


def first_t(database: Database) -> int:
    """Returns the t of the first transaction that is not part of the bootstrap."""
    return FIRST_T if behind(parse_uri(database.uri).engine) == LOCAL else FIRST_PRO_T


async def own_ts(database: Database) -> list[int]:
    """Returns the t of each transaction that is not part of the bootstrap."""
    return [tx_to_t(transaction.tx) for transaction in await _log(database)]


async def _log(database: Database) -> list[Transaction]:
    _, chunk = await database.read_log(first_t(database), await database.basis_t() + 1, size=1 << 40)
    return list(chunk.transactions())


class _Reading:
    """A database's log and base schema; of a copy also its bookkeeping and original ids."""

    def __init__(self, log: list[Transaction], born_with: dict[str, int]) -> None:
        self.born_with = born_with
        self.original_ids: dict[int, int] = {}
        idents = {raw: e for t in log for e, a, kind, raw, _ in t.datoms if a == IDENT and kind == "k"}
        self._bookkeeping = {e for name, e in idents.items() if str(name).startswith("asyncrestore/")}
        self.uuids = [
            raw for t in log for _, a, _, raw, _ in t.datoms if a == idents.get("asyncrestore/copy")
        ]
        self.log = log
        if self._bookkeeping:
            self._take_original_ids(idents["asyncrestore/original-id"])
            self.log = [self._without_bookkeeping(transaction) for transaction in log[INSTALLING:]]

    def _take_original_ids(self, attribute: int) -> None:
        pairs = [(e, raw) for t in self.log for e, a, _, raw, added in t.datoms if a == attribute and added]
        assert len({e for e, _ in pairs}) == len(pairs) == len({raw for _, raw in pairs}), "one id an entity"
        self.original_ids.update(pairs)  # type: ignore[arg-type]  # raw values of longs, which are integers
        self._newest = max(entity for entity in self.original_ids if entity >> 42 == TX_PARTITION)

    def _without_bookkeeping(self, transaction: Transaction) -> Transaction:
        own = [datom for datom in transaction.datoms if datom[1] not in self._bookkeeping]
        return Transaction.of(transaction.tx, own)

    def renamed(self, transactions: list[Transaction], source: _Reading) -> list[Transaction]:
        """Transactions of this copy in its source's ids."""
        base = {e: source.born_with.get(name, -e) for name, e in self.born_with.items()}

        def name(entity: int) -> int:
            assert entity not in self._bookkeeping
            if entity >> 42 == TX_PARTITION and entity > self._newest:
                # A transaction that never came.
                return entity - self._newest + self.original_ids[self._newest]
            return self.original_ids.get(entity) or base.get(entity, -entity)

        def value(kind: str, raw: Any) -> Any:
            if kind == "t":
                return tuple(None if slot is None else (slot[0], value(*slot)) for slot in raw)
            return name(raw) if kind == "r" else raw

        return [
            Transaction.of(
                name(t.tx), [(name(e), name(a), k, value(k, raw), added) for e, a, k, raw, added in t.datoms]
            )
            for t in transactions
        ]


async def _read(database: Database) -> _Reading:
    first = first_t(database)
    rows = (await database.schema_history()).rows()
    born_with = {
        str(raw): e for tx, (e, a, _, raw, added) in rows if a == IDENT and added and tx_to_t(tx) < first
    }
    return _Reading(await _log(database), born_with)


USER_PARTITION, FIRST_IMPLICIT_PARTITION = 4, 1 << 19


async def check_partitions(copy: Database) -> None:
    """Checks that the entities of a copy are in the partitions of their source, both in Pro.

    An entity of a named partition may be in the default one: a restore does not wait for a partition.

    Raises:
        AssertionError: one is elsewhere.
    """
    reading = await _read(copy)
    for entity, original in reading.original_ids.items():
        partition, wanted = entity >> 42, original >> 42
        if wanted >= FIRST_IMPLICIT_PARTITION:
            assert partition == wanted, f"source entity {original} is {entity}"
        elif wanted not in {0, TX_PARTITION, USER_PARTITION}:
            assert partition == USER_PARTITION or reading.original_ids.get(partition) == wanted, (
                f"source entity {original} is {entity}"
            )


def unchanged(datoms: list[Datom]) -> list[Datom]:
    """The datoms that a copy has of a transaction of the source: the same."""
    return datoms


def without_indexes(datoms: list[Datom]) -> list[Datom]:
    """The same of a copy in Local of a source in Pro, where nothing of an index is left.

    Pro notes that an attribute was altered. Where nothing else of it was, that goes with the index.
    """
    indexed = {e for e, a, *_ in datoms if a == INDEX}
    otherwise = {e for e, a, *_ in datoms if a < FIRST_OF_USERS and a not in {INDEX, IDENT, DOC}}
    return [d for d in datoms if d[1] != INDEX and not (d[1] == ALTER and d[3] in indexed - otherwise)]


async def check_copy(
    source: Database,
    copy: Database,
    *further: Database,
    expected: Callable[[list[Datom]], list[Datom]] = unchanged,
) -> None:
    """Checks that a copy, or the last of several made of each other, has the source's history, nothing else.

    `expected` makes the datoms that a filtered copy has of those of a transaction of the source.

    Raises:
        AssertionError: they differ.
    """
    readings = [await _read(database) for database in (source, copy, *further)]
    uuids = [uuid for reading in readings for uuid in reading.uuids]
    assert all(len(reading.uuids) == 1 for reading in readings[1:]), "a copy has a UUID"
    assert len(set(uuids)) == len(uuids), "and no other database has it"
    log = readings[-1].log
    for its_source, reading in reversed(list(pairwise(readings))):
        log = reading.renamed(log, its_source)
    theirs = readings[0].log
    assert [ours.tx for ours in log] == [its.tx for its in theirs], "the transactions differ"
    on_disk = any(is_on_disk(database) for database in (source, copy, *further))
    many: set[int] = set()
    for ours, its in zip(log, theirs, strict=True):
        found, wanted = Counter(ours.datoms), Counter(expected(its.datoms))
        if on_disk:
            wanted -= _noted_once(wanted, found, many)
        assert found == wanted, f"source t {its.t} differs: {found - wanted} for {wanted - found}"
        many -= {e for e, a, _, raw, added in its.datoms if (a, raw, added) == (CARDINALITY, MANY, False)}
        many |= {e for e, a, _, raw, added in its.datoms if (a, raw, added) == (CARDINALITY, MANY, True)}


def is_on_disk(database: Database) -> bool:
    """Whether it is a durable database of Local."""
    return "storage-dir=" in database.uri and not database.uri.endswith(":mem")


def _noted_once(wanted: Counter[Datom], found: Counter[Datom], many: set[int]) -> Counter[Datom]:
    """The retractions of changes that a database on disk does not note, since another one says the same."""
    changed = {(e, a) for e, a, _, _, added in wanted if added and a not in many}
    retracted = {(e, a) for e, a, _, _, added in wanted & found if not added}
    return Counter(
        {
            datom: number
            for datom, number in (wanted - found).items()
            if not datom[4] and datom[:2] in changed & retracted
        }
    )
