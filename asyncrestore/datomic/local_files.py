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
    """An end of the files that is no whole transaction.

    Attributes:
        t: of the newest whole transaction.
        behind: how many transactions `log.idx` has after that.
        cut: whether `db.log` was longer: one of them begins beyond its end.
        log, index: `db.log` and `log.idx`.
        log_end, index_end: where that transaction ends in them, in bytes.
        log_size, index_size: how long they are, in bytes.
    """

    t: int
    behind: int
    cut: bool
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
    whole = (
        f"{torn.log} is whole up to byte {torn.log_end} of {torn.log_size}, {torn.index} up to byte "
        f"{torn.index_end} of {torn.index_size}"
    )
    if torn.cut:
        return DatabaseFailed(
            f"{place.text} lacks the end of its log: {whole}, and says that there was more",
            hint=f"Up to {torn.behind:,} transactions after t {torn.t} are lost. These files are a part of a "
            "copy, or were cut. Copy them again, or restore a backup into a new database.",
        )
    return DatabaseFailed(
        f"{place.text} ends within the transaction after t {torn.t}: {whole}",
        hint="A full disk or a killed process leaves such an end, and that transaction never committed. "
        "A power cut or a copy of open files may leave it too: is there a backup that goes further than "
        f"t {torn.t}, restore that into a new database. Otherwise keep a copy elsewhere, cut the end off, "
        "then run the same command again:\n"
        f"    cp -a {shlex.quote(str(directory))} ELSEWHERE\n"
        f"    truncate -s {torn.log_end} {shlex.quote(str(torn.log))}\n"
        f"    truncate -s {torn.index_end} {shlex.quote(str(torn.index))}",
    )


def torn_end(directory: Path) -> TornEnd | None:
    """Returns the torn end of a database's files; None if they have none, or another form. Blocks."""
    log, index = directory / "db.log", directory / "log.idx"
    try:
        with log.open("rb") as log_file, index.open("rb") as index_file:
            starts, first = _newest_starts(index_file)
            found = _newest_whole(log_file, starts)
            log_size, index_size = log_file.seek(0, 2), index_file.seek(0, 2)
    except OSError:
        return None  # the engine's own error says why
    if found is None:
        return None
    at, t, log_end = found
    behind, index_end = starts[at + 1 :], (first + at + 1) * _ENTRY
    if (log_end, index_end) == (log_size, index_size):
        return None
    cut = any(start > log_size for start in behind)
    return TornEnd(t, len(behind), cut, log, index, log_end, index_end, log_size, index_size)


def _newest_starts(index: BinaryIO) -> tuple[tuple[int, ...], int]:
    """Returns where the newest transactions begin, and the number of entries before them."""
    entries = index.seek(0, 2) // _ENTRY
    first = max(0, entries - _MOST)
    index.seek(first * _ENTRY)
    return unpack(f">{entries - first}Q", index.read((entries - first) * _ENTRY)), first


def _newest_whole(log: BinaryIO, starts: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Returns the place in `starts` of the newest whole transaction, its t, and where it ends."""
    for at in reversed(range(len(starts))):
        whole = _read(log, starts[at])
        # The next one was begun where this one ends.
        if whole is not None and (at + 1 == len(starts) or whole[1] == starts[at + 1]):
            return at, *whole
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
