"""For those who write stores or databases of their own: checks that every one must pass."""

from __future__ import annotations

from asyncrestore.testing.databases import check_database
from asyncrestore.testing.stores import check_store

__all__ = ["check_database", "check_store"]
