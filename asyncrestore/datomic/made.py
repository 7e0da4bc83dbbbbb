"""Files that were made into the cache directory are known by their hashes.

A record beside them has each file's SHA-256, and a stamp by which the file system tells that it is still the
same and was not written to. Only where the stamp differs (the directory was copied, say) is the file hashed:
hashing the archive took 75 to 217 ms at each start.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from asyncrestore.datomic.cache import publish
from asyncrestore.errors import DamageError

if TYPE_CHECKING:
    from pathlib import Path

RECORD = "made.json"


def remember(*files: Path) -> None:
    """Adds files of one directory to its record. Blocks.

    Raises:
        OSError: a file cannot be read, or the record not be written.
    """
    directory = files[0].parent
    entries = _entries(directory)
    for file in files:
        entries[file.name] = {"stamp": _stamp(file), "sha256": _sha256(file)}
    temporary = directory / f".{RECORD}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps(entries), "utf-8")
        publish(temporary, directory / RECORD)
    finally:
        temporary.unlink(missing_ok=True)


def is_known(file: Path) -> bool:
    """Returns whether a file is there and is what was made; False if there is no record of it. Blocks.

    Raises:
        DamageError: it is another one.
        OSError: it cannot be read.
    """
    entry = _entries(file.parent).get(file.name)
    try:
        stamp = _stamp(file)
    except FileNotFoundError:
        return False
    if not isinstance(entry, dict):
        return False
    if entry.get("stamp") == stamp:
        return True
    actual = _sha256(file)
    if entry.get("sha256") != actual:
        raise DamageError(
            f"{file} is damaged or was altered: SHA-256 {actual}, expected {entry.get('sha256')}",
            hint=f"Delete {file.parent} and run this again: it is made anew.",
        )
    try:
        remember(file)
    except OSError:
        return True  # the directory cannot be written: it is hashed each time
    return True


def _entries(directory: Path) -> dict[str, Any]:
    try:
        entries = json.loads((directory / RECORD).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _stamp(file: Path) -> list[int]:
    # The time of the last change cannot be set back, unlike that of the last writing.
    there = file.stat()
    return [there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns]


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
