"""The contracts to build on: subclass one to add a store or an engine, and give an object of it to any job.

A method that is missing is named when the object is made. `asyncrestore.testing.check_store` and
`check_database` check the promises behind the names; docs/extending.md has a complete example of each.
"""

from __future__ import annotations

from asyncrestore.datomic.base import Database, Submission
from asyncrestore.history.base import History, Part
from asyncrestore.limits import check_object_size
from asyncrestore.model import positions
from asyncrestore.model.commit import Anomaly, BatchResult, Committed, TxData
from asyncrestore.model.log import Datom, LogChunk, Transaction, t_to_tx, tx_to_t
from asyncrestore.model.schema import ORIGINAL_ID
from asyncrestore.stores.base import Authenticates, ChecksUploads, Deletes, Store, StoredObject

__all__ = [
    "ORIGINAL_ID",
    "Anomaly",
    "Authenticates",
    "BatchResult",
    "ChecksUploads",
    "Committed",
    "Database",
    "Datom",
    "Deletes",
    "History",
    "LogChunk",
    "Part",
    "Store",
    "StoredObject",
    "Submission",
    "Transaction",
    "TxData",
    "check_object_size",
    "positions",
    "t_to_tx",
    "tx_to_t",
]
