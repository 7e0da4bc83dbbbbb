"""The files of a durable database of Datomic Local, looked at when they cannot be opened.

`db.log` has the transactions, one after the other. Each begins with eight bytes: its t, the number of its
datoms, and two bits to check both. Each datom begins with its length in two bytes, or, where these are zero,
in four more. `log.idx` has for each transaction the eight bytes of where it begins. Datomic Local appends to
`log.idx` first, and acknowledges a transaction when both files are on disk.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from struct import unpack
from typing import TYPE_CHECKING

from asyncrestore.errors import DatabaseFailed

if TYPE_CHECKING:
    from typing import BinaryIO

    from asyncrestore.datomic.uri import DatabaseUri

_MOST = 64
"""So many entries of `log.idx` are looked at: each attempt to write to a full disk may leave one."""
_ENTRY = 8


@dataclass(frozen=True, slots=True)
class TornEnd:
    """An end of the files that no transaction ever had: it was cut short, so it was never acknowledged.

    Attributes:
        t: of the newest whole transaction.
        log, index: `db.log` and `log.idx`.
        log_end, index_end: where that transaction ends in them, in bytes.
        log_size, index_size: how long they are, in bytes.
    """

    t: int
    log: Path
    index: Path
    log_end: int
    index_end: int
    log_size: int
    index_size: int


def unopened(place: DatabaseUri, error: DatabaseFailed) -> DatabaseFailed:
    """Returns the error for a database that cannot be opened, with what is known of its files. Blocks."""
    directory = Path(place.place["storage-dir"], place.place["system"], place.place["db"])
    torn = torn_end(directory)
    if torn is None:
        return error
    return DatabaseFailed(
        f"{place.text} ends within the transaction after t {torn.t}, which never committed: {torn.log} is "
        f"whole up to byte {torn.log_end} of {torn.log_size}, {torn.index} up to byte {torn.index_end} of "
        f"{torn.index_size}",
        hint="A full disk or a killed process leaves such an end. Nothing that is whole is lost with it. "
        "Keep a copy elsewhere, cut the end off, then run the same command again:\n"
        f"    cp -a {shlex.quote(str(directory))} ELSEWHERE\n"
        f"    truncate -s {torn.log_end} {shlex.quote(str(torn.log))}\n"
        f"    truncate -s {torn.index_end} {shlex.quote(str(torn.index))}",
    )


def torn_end(directory: Path) -> TornEnd | None:
    """Returns the torn end of a database's files; None if they have none, or another form. Blocks."""
    log, index = directory / "db.log", directory / "log.idx"
    try:
        with log.open("rb") as log_file, index.open("rb") as index_file:
            found = _newest_whole(log_file, index_file)
            sizes = log.stat().st_size, index.stat().st_size
    except OSError:
        return None  # the engine's own error says why
    if found is None or found[1:] == sizes:
        return None
    return TornEnd(found[0], log, index, *found[1:], *sizes)


def _newest_whole(log: BinaryIO, index: BinaryIO) -> tuple[int, int, int] | None:
    """Returns the t of the newest whole transaction, and where it ends in both files."""
    entries = index.seek(0, 2) // _ENTRY
    first = max(0, entries - _MOST)
    index.seek(first * _ENTRY)
    starts = unpack(f">{entries - first}Q", index.read((entries - first) * _ENTRY))
    for at in reversed(range(len(starts))):
        whole = _read(log, starts[at])
        # The next one was begun where this one ends.
        if whole is not None and (at + 1 == len(starts) or whole[1] == starts[at + 1]):
            return *whole, (first + at + 1) * _ENTRY
    return None


def _read(log: BinaryIO, start: int) -> tuple[int, int] | None:
    """Returns the t of the transaction at `start` and where it ends; None if it is not whole."""
    size = log.seek(0, 2)
    log.seek(start)
    head = log.read(8)
    if len(head) < 8:
        return None
    (number,) = unpack(">Q", head)
    t, count = number >> 20 & 0x3F_FFFF_FFFF, number & 0xF_FFFF | number >> 38 & 0xF0_0000
    if not count or number >> 62 != (t ^ count) & 3:
        return None
    end = start + 8
    for _ in range(count):
        log.seek(end)
        lengths = log.read(6)
        if len(lengths) < 2:
            return None
        end += int.from_bytes(lengths[:2]) or int.from_bytes(lengths[2:])
    return (t, end) if end <= size else None
