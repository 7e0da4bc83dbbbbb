"""Excision as Datomic Pro carries it out.

`datomic:mem` takes requests as data and never carries them out. The predicate that Pro's indexing uses is in
the peer's jar all the same, so the engine itself says which datoms are gone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from asyncrestore.testing import DatabaseWrapper
from tests.support.altered import chunk_of

if TYPE_CHECKING:
    from asyncrestore.datomic.database import BridgeDatabase
    from asyncrestore.model.log import LogChunk
    from tests.support.altered import Row

Place: TypeAlias = tuple[int, int, int, int, bool]
"""Transaction, entity, attribute, entity that it refers to or -1, asserted."""

_REMOVED = """
(fn [db]
  (require 'datomic.excise)
  (let [api (fn [name] (ns-resolve 'datomic.api name))
        [create remove?] (map #(ns-resolve 'datomic.excise %) '[create-xpreds remove?])
        past ((api 'history) db)
        pattern [:db/id :db/excise :db.excise/before :db.excise/beforeT :db.excise/attrs]
        asked ((api 'q) '[:find ?e ?tx :where [?e :db/excise _ ?tx true]] past)
        covers (create db (vec (for [[e tx] asked] ((api 'pull) ((api 'as-of) db tx) pattern e))))]
    (vec (for [d ((api 'datoms) past :eavt)
               :when (some #(remove? % d) covers)
               :let [ref? (= :db.type/ref (:value-type ((api 'attribute) db (:a d))))]]
           [(:tx d) (:e d) (:a d) (if ref? (:v d) -1) (:added d)]))))"""

_QUERY = """[:find ?tx ?e ?a ?v ?added :in $ ?code
             :where [(clojure.core/load-string ?code) ?removed] [(clojure.core/vector $) ?args]
                    [(clojure.core/apply ?removed ?args) [[?tx ?e ?a ?v ?added]]]]"""


async def covered(database: BridgeDatabase) -> set[Place]:
    """What the requests in a database of Pro's peer cover, as the engine says."""
    rows = await database.query(_QUERY, json.dumps(_REMOVED))
    return {(tx, e, a, v, added) for tx, e, a, v, added in rows}


def place(row: Row) -> Place:
    tx, (e, a, kind, raw, added) = row
    return tx, e, a, raw if kind == "r" and isinstance(raw, int) else -1, added


class ExcisedDatabase(DatabaseWrapper):
    """A database in which requests have been carried out: its log lacks what they cover."""

    def __init__(self, inner: BridgeDatabase, gone: set[Place]) -> None:
        super().__init__(inner)
        self._gone = gone

    async def read_log(self, start: int, end: int, *, size: int) -> tuple[int | None, LogChunk]:
        next_t, chunk = await self.inner.read_log(start, end, size=size)
        return next_t, chunk_of([row for row in chunk.rows() if place(row) not in self._gone])


async def excised(database: BridgeDatabase) -> ExcisedDatabase:
    """The database after an indexing: the requests that it has now have been carried out."""
    return ExcisedDatabase(database, await covered(database))
