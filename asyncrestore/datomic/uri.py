"""Databases named by URI, in Datomic's own style.

`datomic:local://SYSTEM/DB?storage-dir=DIR` is Datomic Local. The URIs of Datomic Pro (`datomic:mem://DB`,
`datomic:dev://HOST:PORT/DB`, `datomic:sql://DB?JDBC-URL`, ...) are its own, and go to its peer unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from asyncrestore.errors import UsageError
from asyncrestore.paths import absolute
from asyncrestore.redact import redacted_uri

SCHEME = "datomic:"
MEMORY = ":mem"
LOCAL, PEER = "local", "peer"
ENGINES = (LOCAL, PEER)
_EXAMPLE = "A database is named like datomic:local://SYSTEM/DB?storage-dir=DIR"
_PEER_EXAMPLE = "A database of Datomic Pro is named as there, like datomic:dev://HOST:PORT/DB"
_ENGINE = re.compile(r"[a-z][a-z0-9-]*")
_UNSUPPORTED = ("cloud", "peer-server")


@dataclass(frozen=True, slots=True)
class DatabaseUri:
    """A parsed URI of a database, or of all databases in a place.

    Attributes:
        text: the URI, without what may be secret.
        engine: the engine that the bridge uses for it, one of `ENGINES`.
        db: name of the database; empty for all databases in the place.
        place: the argument of the bridge's `open` and `databases`.
    """

    text: str
    engine: str
    db: str
    place: dict[str, str]

    @property
    def aws(self) -> bool:
        """Whether its JVM speaks to AWS: the storage is DynamoDB, or a JDBC URL names AWS."""
        uri = self.place.get("uri", "")
        return uri.startswith(f"{SCHEME}ddb") or "aws" in uri


def is_database_uri(text: str) -> bool:
    """Returns whether the text names a database rather than a store."""
    return text.startswith(SCHEME)


def parse_uri(text: str) -> DatabaseUri:
    """Reads a database URI.

    Raises:
        UsageError: it is not a Datomic URI, its engine is not supported, or a part of it is missing,
            unknown or not Unicode text.
    """
    if not is_database_uri(text):
        raise UsageError(f"{redacted_uri(text)!r} is not a Datomic URI", hint=_EXAMPLE)
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"{redacted_uri(text)!r} is not in UTF-8", hint=_EXAMPLE) from exc
    kind, found, _ = text.removeprefix(SCHEME).partition("://")
    if not found or not _ENGINE.fullmatch(kind) or kind in _UNSUPPORTED:
        raise UsageError(
            f"{redacted_uri(text)!r}: the engine {redacted_uri(found and kind) or 'missing'!r} "
            "is not supported",
            hint=f"{_EXAMPLE}. {_PEER_EXAMPLE}.",
        )
    return _local(text) if kind == LOCAL else _peer(text)


def _local(text: str) -> DatabaseUri:
    shown = redacted_uri(text)
    # Not by `urlsplit`, which has rules for hosts and drops characters that URIs must not have.
    if "#" in text:
        raise UsageError(f"{shown!r} has a hash in it", hint="Write %23 for it in a URI.")
    before, _, query = text.removeprefix(f"{SCHEME}{LOCAL}://").partition("?")
    system, _, db = (_unquoted(part, shown) for part in before.partition("/"))
    # A plus stays a plus: a directory may have one in its name.
    given = (option.partition("=") for option in query.split("&") if option)
    options = {_unquoted(name, shown): _unquoted(value, shown) for name, _, value in given}
    storage_dir = options.pop("storage-dir", "")
    if options:
        raise UsageError(f"{shown!r}: unknown option {', '.join(sorted(options))}", hint=_EXAMPLE)
    if not storage_dir:
        raise UsageError(f"{shown!r} does not name its storage directory", hint=_EXAMPLE)
    # Both are names of directories, the database's within the system's.
    if not system or "/" in db or {system, db} & {".", ".."}:
        raise UsageError(f"{shown!r} needs one system and one database", hint=_EXAMPLE)
    if storage_dir != MEMORY:
        storage_dir = str(absolute(storage_dir))
    return DatabaseUri(shown, LOCAL, db, {"storage-dir": storage_dir, "system": system, "db": db})


def _unquoted(text: str, uri: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{uri!r} is not UTF-8 behind its percent signs", hint=_EXAMPLE) from exc


def _peer(text: str) -> DatabaseUri:
    """Reads a URI of any storage: the database's name is the last part before the question mark."""
    before, question, after = text.partition("?")
    start = before.rindex("/") + 1
    db = before[start:].removesuffix("*")
    # The peer lists the databases of a URI that has an asterisk in place of the name.
    uri = text if db else f"{before[:start]}*{question}{after}"
    return DatabaseUri(redacted_uri(text), PEER, db, {"uri": uri})
