"""asyncrestore: backs up, restores, copies and verifies Datomic databases with their whole history.

    report = await asyncrestore.backup("datomic:local://dev/music?storage-dir=/data", "/backups")
    report = await asyncrestore.restore("/backups", "datomic:local://dev/copy?storage-dir=/data2")
    report = await asyncrestore.verify("/backups", against="datomic:local://dev/copy?storage-dir=/data2")

The public names are those in `__all__`. Each is imported when it is first used: Parquet alone takes longer to
load than `asyncrestore --version` and `--help` take to answer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncrestore.datomic.base import Database as Database
    from asyncrestore.datomic.database import Connector as Connector
    from asyncrestore.datomic.database import open_connector as open_connector
    from asyncrestore.errors import AsyncRestoreError as AsyncRestoreError
    from asyncrestore.errors import BridgeDied as BridgeDied
    from asyncrestore.errors import Conflict as Conflict
    from asyncrestore.errors import DamageError as DamageError
    from asyncrestore.errors import DatabaseFailed as DatabaseFailed
    from asyncrestore.errors import HistoryDiffers as HistoryDiffers
    from asyncrestore.errors import NewerFormat as NewerFormat
    from asyncrestore.errors import NotAuthorized as NotAuthorized
    from asyncrestore.errors import NotFound as NotFound
    from asyncrestore.errors import OtherKey as OtherKey
    from asyncrestore.errors import OutcomeUnknown as OutcomeUnknown
    from asyncrestore.errors import Overtaken as Overtaken
    from asyncrestore.errors import RewriteFailed as RewriteFailed
    from asyncrestore.errors import SegmentDamaged as SegmentDamaged
    from asyncrestore.errors import SegmentGap as SegmentGap
    from asyncrestore.errors import SetupFailed as SetupFailed
    from asyncrestore.errors import StoppedEarly as StoppedEarly
    from asyncrestore.errors import StoreFailed as StoreFailed
    from asyncrestore.errors import TransactionRejected as TransactionRejected
    from asyncrestore.errors import Unavailable as Unavailable
    from asyncrestore.errors import Unprotected as Unprotected
    from asyncrestore.errors import UsageError as UsageError
    from asyncrestore.excision.excised import Excised as Excised
    from asyncrestore.filters.filter import FilteredAttribute as FilteredAttribute
    from asyncrestore.filters.rewrites import Rewrite as Rewrite
    from asyncrestore.jobs.backup import BackupReport as BackupReport
    from asyncrestore.jobs.backup import backup as backup
    from asyncrestore.jobs.compact import CompactReport as CompactReport
    from asyncrestore.jobs.compact import compact as compact
    from asyncrestore.jobs.copy import CopyReport as CopyReport
    from asyncrestore.jobs.copy import copy as copy
    from asyncrestore.jobs.delete import DeleteReport as DeleteReport
    from asyncrestore.jobs.delete import delete as delete
    from asyncrestore.jobs.info import BackupInfo as BackupInfo
    from asyncrestore.jobs.info import DatabaseInfo as DatabaseInfo
    from asyncrestore.jobs.info import StoreInfo as StoreInfo
    from asyncrestore.jobs.info import SystemInfo as SystemInfo
    from asyncrestore.jobs.info import database_info as database_info
    from asyncrestore.jobs.info import info as info
    from asyncrestore.jobs.info import store_info as store_info
    from asyncrestore.jobs.info import system_info as system_info
    from asyncrestore.jobs.query import query as query
    from asyncrestore.jobs.repair import PutAside as PutAside
    from asyncrestore.jobs.repair import RepairReport as RepairReport
    from asyncrestore.jobs.repair import repair as repair
    from asyncrestore.jobs.restore import RestoreReport as RestoreReport
    from asyncrestore.jobs.restore import restore as restore
    from asyncrestore.jobs.selection import Selection as Selection
    from asyncrestore.jobs.validate import ValidateReport as ValidateReport
    from asyncrestore.jobs.validate import validate_store as validate_store
    from asyncrestore.jobs.verified import VerifyReport as VerifyReport
    from asyncrestore.jobs.verify import verify as verify
    from asyncrestore.jobs.verify_backup import verify_backup as verify_backup
    from asyncrestore.jobs.verify_copy import verify_copy as verify_copy
    from asyncrestore.limits import max_segment_bytes as max_segment_bytes
    from asyncrestore.model.code import Code as Code
    from asyncrestore.model.ids import CacheStatistics as CacheStatistics
    from asyncrestore.model.values import Keyword as Keyword
    from asyncrestore.model.values import Symbol as Symbol
    from asyncrestore.model.values import Uri as Uri
    from asyncrestore.progress import OnProgress as OnProgress
    from asyncrestore.progress import Progress as Progress
    from asyncrestore.segments.document import SegmentRange as SegmentRange
    from asyncrestore.stores import open_store as open_store
    from asyncrestore.stores.base import Store as Store
    from asyncrestore.stores.base import StoredObject as StoredObject
    from asyncrestore.stores.encrypted import Encryption as Encryption
    from asyncrestore.stores.filesystem import FilesystemStore as FilesystemStore
    from asyncrestore.stores.keys import KmsKey as KmsKey
    from asyncrestore.stores.memory import MemoryStore as MemoryStore
    from asyncrestore.stores.promises import Promise as Promise
    from asyncrestore.stores.signed import SigningKey as SigningKey

__version__ = "0.1.0"

_HOMES = {
    "datomic.base": ("Database",),
    "datomic.database": ("Connector", "open_connector"),
    "errors": (
        "AsyncRestoreError", "BridgeDied", "Conflict", "DamageError", "DatabaseFailed", "HistoryDiffers",
        "NewerFormat", "NotAuthorized", "NotFound", "OtherKey", "OutcomeUnknown", "Overtaken",
        "RewriteFailed", "SegmentDamaged", "SegmentGap", "SetupFailed", "StoppedEarly", "StoreFailed",
        "TransactionRejected", "Unavailable", "Unprotected", "UsageError",
    ),
    "excision.excised": ("Excised",),
    "filters.filter": ("FilteredAttribute",),
    "filters.rewrites": ("Rewrite",),
    "jobs.backup": ("BackupReport", "backup"),
    "jobs.compact": ("CompactReport", "compact"),
    "jobs.copy": ("CopyReport", "copy"),
    "jobs.delete": ("DeleteReport", "delete"),
    "jobs.info": (
        "BackupInfo", "DatabaseInfo", "StoreInfo", "SystemInfo", "database_info", "info", "store_info",
        "system_info",
    ),
    "jobs.query": ("query",),
    "jobs.repair": ("PutAside", "RepairReport", "repair"),
    "jobs.restore": ("RestoreReport", "restore"),
    "jobs.selection": ("Selection",),
    "jobs.validate": ("ValidateReport", "validate_store"),
    "jobs.verified": ("VerifyReport",),
    "jobs.verify": ("verify",),
    "jobs.verify_backup": ("verify_backup",),
    "jobs.verify_copy": ("verify_copy",),
    "limits": ("max_segment_bytes",),
    "model.code": ("Code",),
    "model.ids": ("CacheStatistics",),
    "model.values": ("Keyword", "Symbol", "Uri"),
    "progress": ("OnProgress", "Progress"),
    "segments.document": ("SegmentRange",),
    "stores": ("open_store",),
    "stores.base": ("Store", "StoredObject"),
    "stores.encrypted": ("Encryption",),
    "stores.filesystem": ("FilesystemStore",),
    "stores.keys": ("KmsKey",),
    "stores.memory": ("MemoryStore",),
    "stores.promises": ("Promise",),
    "stores.signed": ("SigningKey",),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 - names, from the table above
    "__version__",
    *sorted(_HOME),
]


if not TYPE_CHECKING:  # type checkers see the imports above, and would take any name for public

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
