"""Databases named by URI, in Datomic's own style: what each engine's URIs mean.

`datomic:local://SYSTEM/DB?storage-dir=DIR` is Datomic Local, `datomic:cloud://SYSTEM/DB?region=R&endpoint=URL`
Datomic Cloud, `datomic:peer-server://HOST:PORT/DB` a peer server. The URIs of Datomic Pro (`datomic:mem://DB`,
`datomic:dev://HOST:PORT/DB`, `datomic:sql://DB?JDBC-URL`, ...) are its own, and go to its peer unchanged.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from asyncrestore.errors import UsageError
from asyncrestore.paths import absolute
from asyncrestore.redact import redacted_uri

SCHEME = "datomic:"
MEMORY = ":mem"
LOCAL, PEER, CLOUD, PEER_SERVER = "local", "peer", "cloud", "peer-server"
EXAMPLE = "A database is named like datomic:local://SYSTEM/DB?storage-dir=DIR"
ACCESS_KEY_VARIABLE = "ASYNCRESTORE_PEER_SERVER_ACCESS_KEY"
SECRET_VARIABLE = "ASYNCRESTORE_PEER_SERVER_SECRET"  # noqa: S105 - a name

_CLOUD_EXAMPLE = "A database of Datomic Cloud is named like datomic:cloud://SYSTEM/DB?region=us-east-1&endpoint=https://HOST"
_PEER_SERVER_EXAMPLE = "A database of a peer server is named like datomic:peer-server://HOST:PORT/DB"
_KEYS_HINT = (
    f"Put the keys of a peer server into {ACCESS_KEY_VARIABLE} and {SECRET_VARIABLE}, not into a URI."
)
_KEYS = {"access-key", "secret"}
_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_ENDPOINT = re.compile(rf"https?://{_HOST}(?::\d{{1,5}})?/?")
_SERVER = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}")


@dataclass(frozen=True, slots=True)
class DatabaseUri:
    """A parsed URI of a database, or of all databases in a place.

    Attributes:
        text: the URI, without what may be secret.
        engine: name of the engine that the bridge uses for it (see `engines.ENGINES`).
        db: name of the database; empty for all databases in the place.
        place: the argument of the bridge's `open` and `databases`; it may hold secrets.
        aws: whether its JVM speaks to AWS, and so gets the variables for that.
    """

    text: str
    engine: str
    db: str
    place: dict[str, str] = field(repr=False)
    aws: bool = False


def is_database_uri(text: str) -> bool:
    """Returns whether the text names a database rather than a store."""
    return text.startswith(SCHEME)


def _parts(text: str, example: str, known: set[str]) -> tuple[str, str, str, dict[str, str]]:
    """Reads `datomic:SCHEME://PLACE/DB?OPTIONS`.

    Returns:
        The URI as it may be shown, the place, the database and the options.

    Raises:
        UsageError: it has a hash in it, an option that is not `known`, or is not Unicode text.
    """
    shown = redacted_uri(text)
    # Not by `urlsplit`, which has rules for hosts and drops characters that URIs must not have.
    if "#" in text:
        raise UsageError(f"{shown!r} has a hash in it", hint="Write %23 for it in a URI.")
    before, _, query = text.partition("://")[2].partition("?")
    place, _, db = (_unquoted(part, shown, example) for part in before.partition("/"))
    # A plus stays a plus: a directory may have one in its name.
    given = [option.partition("=") for option in query.split("&") if option]
    if not all(equals for _, equals, _ in given):
        raise UsageError(f"{shown.partition('?')[0]!r} has an option without a value", hint=example)
    options = {_unquoted(name, shown, example): _unquoted(value, shown, example) for name, _, value in given}
    unknown = options.keys() - known
    if unknown & _KEYS:
        raise UsageError(f"{shown!r} holds a key", hint=_KEYS_HINT)
    if unknown:
        raise UsageError(f"{shown!r}: unknown option {', '.join(sorted(unknown))}", hint=example)
    return shown, place, db, options


def _unquoted(text: str, uri: str, example: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{uri!r} is not UTF-8 behind its percent signs", hint=example) from exc


def local_uri(text: str) -> DatabaseUri:
    """Reads a URI of Datomic Local.

    Raises:
        UsageError: a part of it is missing, unknown or not Unicode text.
    """
    shown, system, db, options = _parts(text, EXAMPLE, {"storage-dir"})
    storage_dir = options.get("storage-dir", "")
    if not storage_dir:
        raise UsageError(f"{shown!r} does not name its storage directory", hint=EXAMPLE)
    # Both are names of directories, the database's within the system's.
    if not system or "/" in db or {system, db} & {".", ".."}:
        raise UsageError(f"{shown!r} needs one system and one database", hint=EXAMPLE)
    if storage_dir != MEMORY:
        storage_dir = str(absolute(storage_dir))
    return DatabaseUri(shown, LOCAL, db, {"storage-dir": storage_dir, "system": system, "db": db})


def cloud_uri(text: str) -> DatabaseUri:
    """Reads a URI of Datomic Cloud.

    Raises:
        UsageError: a part of it is missing, malformed, unknown or not Unicode text.
    """
    shown, system, db, options = _parts(text, _CLOUD_EXAMPLE, {"region", "endpoint", "profile", "proxy-port"})
    if not system or "/" in system or "/" in db:
        raise UsageError(f"{shown!r} needs one system and one database", hint=_CLOUD_EXAMPLE)
    for option in ("region", "endpoint"):
        if not options.get(option):
            raise UsageError(f"{shown!r} does not name its {option}", hint=f"{_CLOUD_EXAMPLE}.")
    if "@" in options["endpoint"]:
        raise UsageError("The endpoint of a URI of Datomic Cloud holds a user or a key", hint=_CLOUD_EXAMPLE)
    if not _ENDPOINT.fullmatch(options["endpoint"]):
        raise UsageError(
            f"{shown!r}: the endpoint is not http://HOST or https://HOST, with or without a port",
            hint="Take the output ClientApiGatewayEndpoint of the system's compute stack as it is, with its "
            "scheme; a system older than 2021 has http://entry.SYSTEM.REGION.datomic.net:8182/ instead.",
        )
    port = options.get("proxy-port")
    if port is not None and not _is_port(port):
        raise UsageError(f"{shown!r}: proxy-port is no number from 1 to 65535", hint=_CLOUD_EXAMPLE)
    return DatabaseUri(shown, CLOUD, db, {"system": system, "db": db, **options}, aws=True)


def peer_server_uri(text: str) -> DatabaseUri:
    """Reads a URI of a peer server; its keys come from the environment.

    Raises:
        UsageError: a part of it is missing, malformed, unknown or not Unicode text, or it holds a key.
    """
    known = {"trust-certs", "validate-hostnames"}
    shown, server, db, options = _parts(text, _PEER_SERVER_EXAMPLE, known)
    if "@" in server:
        raise UsageError("The URI of a peer server holds a user or a key", hint=_KEYS_HINT)
    if not _SERVER.fullmatch(server) or not _is_port(server.rpartition(":")[2]) or "/" in db:
        raise UsageError(
            f"{shown!r} needs one host with its port, and one database", hint=_PEER_SERVER_EXAMPLE
        )
    if options.get("validate-hostnames", "true") not in {"true", "false"}:
        raise UsageError(f"{shown!r}: validate-hostnames is true or false", hint=_PEER_SERVER_EXAMPLE)
    if "trust-certs" in options:
        if not options["trust-certs"]:
            raise UsageError(f"{shown!r} names no file in trust-certs", hint=_PEER_SERVER_EXAMPLE)
        options["trust-certs"] = str(absolute(options["trust-certs"]))
    keys = {"access-key": ACCESS_KEY_VARIABLE, "secret": SECRET_VARIABLE}
    place = {name: os.environ.get(variable, "") for name, variable in keys.items()}
    return DatabaseUri(shown, PEER_SERVER, db, {"endpoint": server, "db": db, **options, **place})


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535


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
