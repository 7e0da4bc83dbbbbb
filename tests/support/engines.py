"""The engines that have databases in memory: those on which most tests run."""

from __future__ import annotations

from asyncrestore.datomic.engines import ENGINES
from asyncrestore.datomic.uri import CLOUD, LOCAL, PEER_SERVER

_MEMORY_URIS = {name: engine.memory_uri for name, engine in ENGINES.items() if engine.memory_uri is not None}
IN_MEMORY = tuple(_MEMORY_URIS)
"""Their names."""

REMOTE = frozenset({CLOUD, PEER_SERVER})
"""The engines whose databases are behind a server."""


def memory_uri_of(engine: str, name: str) -> str:
    """Returns the URI of a database in memory."""
    return _MEMORY_URIS[engine](name)


def behind(engine: str) -> str:
    """Returns the engine that has the databases: behind the tests' server it is Local."""
    return LOCAL if engine in REMOTE else engine
