"""Databases named by URI, in Datomic's own style: `datomic:local://SYSTEM/DB?storage-dir=DIR`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from asyncrestore.errors import UsageError

SCHEME = "datomic:"
MEMORY = ":mem"
_EXAMPLE = "A database is named like datomic:local://SYSTEM/DB?storage-dir=DIR"


@dataclass(frozen=True, slots=True)
class DatabaseUri:
    """Where a database is.

    Attributes:
        text: the URI as given.
        engine: the JVM runtime that speaks to it; ``local`` is the only one so far.
        system: name of the system.
        db: name of the database; empty where a whole system is meant.
        storage_dir: absolute directory of Datomic Local, or ``:mem`` for the memory of the bridge.
    """

    text: str
    engine: str
    system: str
    db: str
    storage_dir: str

    def place(self) -> dict[str, str]:
        """What the bridge's `open` and `databases` take."""
        return {"storage-dir": self.storage_dir, "system": self.system, "db": self.db}


def is_database_uri(text: str) -> bool:
    """Whether the text names a database rather than a store."""
    return text.startswith(SCHEME)


def parse_uri(text: str) -> DatabaseUri:
    """Reads a database URI.

    Raises:
        UsageError: not a Datomic URI, an engine that is not supported, or a part is missing or unknown.
    """
    if not is_database_uri(text):
        raise UsageError(f"{text!r} is not a Datomic URI", hint=_EXAMPLE)
    parts = urlsplit(text.removeprefix(SCHEME))
    if parts.scheme != "local":
        raise UsageError(
            f"{text!r}: the engine {parts.scheme or 'missing'!r} is not supported",
            hint=f"{_EXAMPLE}; local is supported",
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    storage_dir = options.pop("storage-dir", "")
    if options:
        raise UsageError(f"{text!r}: unknown option {', '.join(sorted(options))}", hint=_EXAMPLE)
    if not storage_dir:
        raise UsageError(f"{text!r} does not say its storage directory", hint=_EXAMPLE)
    system, db = unquote(parts.netloc), unquote(parts.path.removeprefix("/"))
    if not system or "/" in db:
        raise UsageError(f"{text!r} needs one system and one database", hint=_EXAMPLE)
    if storage_dir != MEMORY:
        storage_dir = str(Path(storage_dir).expanduser().absolute())
    return DatabaseUri(text, "local", system, db, storage_dir)
