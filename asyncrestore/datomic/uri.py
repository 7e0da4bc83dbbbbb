"""Databases named by URI, in Datomic's own style: what each engine's URIs mean.

`datomic:local://SYSTEM/DB?storage-dir=DIR` is Datomic Local. The URIs of Datomic Pro (`datomic:mem://DB`,
`datomic:dev://HOST:PORT/DB`, `datomic:sql://DB?JDBC-URL`, ...) are its own, and go to its peer unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from asyncrestore.errors import UsageError
from asyncrestore.paths import absolute
from asyncrestore.redact import redacted_uri

SCHEME = "datomic:"
MEMORY = ":mem"
LOCAL, PEER = "local", "peer"
EXAMPLE = "A database is named like datomic:local://SYSTEM/DB?storage-dir=DIR"


@dataclass(frozen=True, slots=True)
class DatabaseUri:
    """A parsed URI of a database, or of all databases in a place.

    Attributes:
        text: the URI, without what may be secret.
        engine: name of the engine that the bridge uses for it (see `engines.ENGINES`).
        db: name of the database; empty for all databases in the place.
        place: the argument of the bridge's `open` and `databases`.
        aws: whether its JVM speaks to AWS, and so gets the variables for that.
    """

    text: str
    engine: str
    db: str
    place: dict[str, str]
    aws: bool = False


def is_database_uri(text: str) -> bool:
    """Returns whether the text names a database rather than a store."""
    return text.startswith(SCHEME)


def local_uri(text: str) -> DatabaseUri:
    """Reads a URI of Datomic Local.

    Raises:
        UsageError: a part of it is missing, unknown or not Unicode text.
    """
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
        raise UsageError(f"{shown!r}: unknown option {', '.join(sorted(options))}", hint=EXAMPLE)
    if not storage_dir:
        raise UsageError(f"{shown!r} does not name its storage directory", hint=EXAMPLE)
    # Both are names of directories, the database's within the system's.
    if not system or "/" in db or {system, db} & {".", ".."}:
        raise UsageError(f"{shown!r} needs one system and one database", hint=EXAMPLE)
    if storage_dir != MEMORY:
        storage_dir = str(absolute(storage_dir))
    return DatabaseUri(shown, LOCAL, db, {"storage-dir": storage_dir, "system": system, "db": db})


def _unquoted(text: str, uri: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{uri!r} is not UTF-8 behind its percent signs", hint=EXAMPLE) from exc


def peer_uri(text: str) -> DatabaseUri:
    """Reads a URI of Pro for any storage: the database's name is the last part before the question mark."""
    before, question, after = text.partition("?")
    start = before.rindex("/") + 1
    db = before[start:].removesuffix("*")
    # The peer lists the databases of a URI that has an asterisk in place of the name.
    uri = text if db else f"{before[:start]}*{question}{after}"
    # The storage is DynamoDB, or a JDBC URL names AWS.
    aws = uri.startswith(f"{SCHEME}ddb") or "aws" in uri
    return DatabaseUri(redacted_uri(text), PEER, db, {"uri": uri}, aws)
