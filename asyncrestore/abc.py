"""The contracts to build on: subclass one to add a store or an engine, and give an object of it to any job.

A method that is missing is named when the object is made. `asyncrestore.testing.check_store` and
`check_database` check the promises behind the names; docs/testing.md has a complete example of each.
"""

from __future__ import annotations

from asyncrestore.datomic.base import Database, Submission
from asyncrestore.history.base import History, Part
from asyncrestore.model.commit import Anomaly, BatchResult, Committed, TxData
from asyncrestore.model.log import LogChunk, Transaction
from asyncrestore.stores.base import Authenticates, ChecksUploads, Deletes, Store, StoredObject

__all__ = [
    "Anomaly",
    "Authenticates",
    "BatchResult",
    "ChecksUploads",
    "Committed",
    "Database",
    "Deletes",
    "History",
    "LogChunk",
    "Part",
    "Store",
    "StoredObject",
    "Submission",
    "Transaction",
    "TxData",
]
