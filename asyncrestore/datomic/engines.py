"""The engines, a row for each: how its databases are named, and what its JVM needs.

Beside its row an engine has, by its name, a namespace with a `-main` in `jvm/asyncrestore/`, whose file has
underscores for hyphens, and a lock file of its jars in `jvm/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncrestore.datomic.uri import (
    CLOUD,
    EXAMPLE,
    LOCAL,
    PEER,
    PEER_SERVER,
    SCHEME,
    DatabaseUri,
    cloud_uri,
    is_database_uri,
    local_uri,
    peer_server_uri,
    peer_uri,
)
from asyncrestore.errors import UsageError
from asyncrestore.redact import redacted_uri

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Engine:
    """What tells an engine from the others.

    Attributes:
        name: of its namespace and its lock file, and as an argument of `asyncrestore setup`.
        schemes: what its URIs have between `datomic:` and `://`; None if it has all that no other engine has.
        parse: reads such a URI, which is UTF-8; raises UsageError.
        memory_uri: returns the URI of a database in memory, by name, for trying the engine and for tests;
            None if it only reaches servers.
        jars_variable: the variable in which the user names further jars, if the engine may need some.
    """

    name: str
    schemes: frozenset[str] | None
    parse: Callable[[str], DatabaseUri]
    memory_uri: Callable[[str], str] | None = None
    jars_variable: str | None = None


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            LOCAL,
            schemes=frozenset({"local"}),
            parse=local_uri,
            memory_uri="datomic:local://memory/{}?storage-dir=:mem".format,
        ),
        Engine(
            PEER,
            schemes=None,
            parse=peer_uri,
            memory_uri="datomic:mem://{}".format,
            # The peer does not bring the libraries of its storages.
            jars_variable="ASYNCRESTORE_PEER_JARS",
        ),
        Engine(CLOUD, schemes=frozenset({"cloud"}), parse=cloud_uri),
        Engine(PEER_SERVER, schemes=frozenset({"peer-server"}), parse=peer_server_uri),
    )
}
"""The engines by name."""

_SCHEME = re.compile(r"[a-z][a-z0-9-]*")
_PEER_EXAMPLE = "A database of Datomic Pro is named as there, like datomic:dev://HOST:PORT/DB"


def parse_uri(text: str) -> DatabaseUri:
    """Reads a database URI.

    Raises:
        UsageError: it is not a Datomic URI, its engine is not supported, or a part of it is missing,
            unknown or not Unicode text.
    """
    if not is_database_uri(text):
        raise UsageError(f"{redacted_uri(text)!r} is not a Datomic URI", hint=EXAMPLE)
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"{redacted_uri(text)!r} is not in UTF-8", hint=EXAMPLE) from exc
    scheme, found, _ = text.removeprefix(SCHEME).partition("://")
    engine = _engine_of(scheme) if found else None
    if engine is None:
        raise UsageError(
            f"{redacted_uri(text)!r}: the engine {redacted_uri(found and scheme) or 'missing'!r} "
            "is not supported",
            hint=f"{EXAMPLE}. {_PEER_EXAMPLE}.",
        )
    return engine.parse(text)


def _engine_of(scheme: str) -> Engine | None:
    for engine in ENGINES.values():
        if engine.schemes is not None and scheme in engine.schemes:
            return engine
    return next(
        (each for each in ENGINES.values() if each.schemes is None and _SCHEME.fullmatch(scheme)), None
    )
