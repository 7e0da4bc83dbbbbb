"""For those who write stores or databases of their own, and for tests of what uses them.

`check_store` and `check_database` check what every one must do. `faulty_database` and `FaultyStore` put a
network with latency and faults (`Faults`) before any real one.
"""

from __future__ import annotations

from asyncrestore.testing.databases import check_database
from asyncrestore.testing.faults import FAULTS, POINTS, Faults
from asyncrestore.testing.faulty_database import FaultyDatabase, faulty_database
from asyncrestore.testing.faulty_store import FaultyStore
from asyncrestore.testing.stores import check_store

__all__ = [
    "FAULTS",
    "POINTS",
    "Faults",
    "FaultyDatabase",
    "FaultyStore",
    "check_database",
    "check_store",
    "faulty_database",
]
