"""Helpers for those who write stores or databases of their own, and for tests of programs that use them.

`check_store` and `check_database` check what every store and database must do. `faulty_database` and
`FaultyStore` put a network with latency and faults (`Faults`) in front of a real one. `DatabaseWrapper` is
the base class of wrappers that change some of what a database does.
"""

from __future__ import annotations

from asyncrestore.datomic.wrapper import DatabaseWrapper
from asyncrestore.testing.databases import check_database
from asyncrestore.testing.faults import FAULTS, POINTS, Faults
from asyncrestore.testing.faulty_database import FaultyDatabase, faulty_database
from asyncrestore.testing.faulty_store import FaultyStore
from asyncrestore.testing.stores import check_store

__all__ = [
    "FAULTS",
    "POINTS",
    "DatabaseWrapper",
    "Faults",
    "FaultyDatabase",
    "FaultyStore",
    "check_database",
    "check_store",
    "faulty_database",
]
