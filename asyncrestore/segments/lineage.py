"""Whose segment it is: the backup that a segment belongs to, and the transaction that it follows.

A digest says that a segment is what was written, not that it was written for this place. So each segment has
the id of its backup, and the digest of the last transaction before it. That is a digest of the transaction's
content, so it stays the same when segments are merged, repaired or copied.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from asyncrestore.errors import Conflict, DamageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncrestore.model.log import Transaction
    from asyncrestore.segments.document import SegmentInfo, SegmentRange

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Lineage:
    """The backup that a segment belongs to.

    Attributes:
        backup: its id.
        since: segments that end after this t must have the id. It is 0, or the end of what was there before
            segments had an id.
    """

    backup: str
    since: int

    @classmethod
    def new(cls, since: int) -> Lineage:
        """Returns that of a new backup, or of one whose segments have no id up to `since`."""
        return cls(str(uuid4()), since)

    @classmethod
    def of(cls, info: SegmentInfo) -> Lineage | None:
        """Returns what a segment says, None if it has no id."""
        return None if info.backup is None or info.since is None else cls(info.backup, info.since)

    def to_json(self) -> bytes:
        """Returns the content of the object that says it beside the segments."""
        return json.dumps({"format": _FORMAT, "id": self.backup, "since": self.since}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Lineage:
        """Reads such an object.

        Raises:
            DamageError: it is not one.
        """
        try:
            document = json.loads(data)
            backup, since = document["id"], document["since"]
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise DamageError("it does not say which backup this is") from exc
        if not isinstance(backup, str) or type(since) is not int:
            raise DamageError("it does not say which backup this is")
        return cls(backup, since)

    def allows(self, info: SegmentInfo) -> bool:
        """Returns whether a segment may belong to this backup."""
        own = Lineage.of(info)
        return own == self if own else info.end <= self.since


class OneBackup:
    """Checks that segments, in whatever order they are read, are of one backup.

    Args:
        lineage: of the backup, where it is known.
    """

    def __init__(self, lineage: Lineage | None = None) -> None:
        self._lineage = lineage
        self._end_without = 0

    def check(self, info: SegmentInfo, where: str) -> None:
        """Takes in a segment.

        Args:
            info: its metadata.
            where: it lies, for messages.

        Raises:
            Conflict: it is not of the backup that another one is of.
        """
        own, known = Lineage.of(info), self._lineage
        if known is not None and not known.allows(info):
            raise _conflict(f"{where} {is_foreign(info, known)}")
        if known is None and own is not None and own.since < self._end_without:
            raise _conflict(
                f"{where} is of the backup {own.backup}, whose id others after t {own.since} lack"
            )
        if known is None and own is None:
            self._end_without = max(self._end_without, info.end)
        self._lineage = known or own


def is_foreign(info: SegmentInfo, lineage: Lineage) -> str:
    """Says of a segment that it is not of a backup, for messages."""
    if info.backup is None:
        return f"does not say that it is of this backup ({lineage.backup})"
    return f"is of another backup ({info.backup}) than this one ({lineage.backup})"


def _conflict(text: str) -> Conflict:
    return Conflict(
        text,
        hint="Run verify: it names what is of another backup. Repair with the source replaces such segments.",
    )


def digest_of(transaction: Transaction) -> str:
    """Returns the SHA-256 of a transaction's content: its id, and its datoms in any order."""
    datoms = sorted(json.dumps(datom, separators=(",", ":")) for datom in transaction.datoms)
    return hashlib.sha256(f"{transaction.tx}\n".encode() + "\n".join(datoms).encode()).hexdigest()


class Chain:
    """Checks that each segment of a chain follows the ones before it.

    Args:
        segments: key and range of each, in order. They may overlap, and have gaps.
    """

    def __init__(self, segments: Sequence[tuple[str, SegmentRange]]) -> None:
        self._segments = segments
        self._tails: dict[int, str | None] = {}

    def __len__(self) -> int:
        return len(self._segments)

    def end_of(self, number: int) -> int:
        """Returns the t before which a segment's last transaction counts: the next one begins there."""
        _, own = self._segments[number]
        if number + 1 == len(self._segments):
            return own.end
        return min(own.end, self._segments[number + 1][1].start)

    def set(self, number: int, last: Transaction | None) -> None:
        """Takes in the last transaction of a segment before `end_of` it; None if there is none."""
        self._tails[number] = digest_of(last) if last else None

    def needs(self, number: int) -> int | None:
        """Returns the segment that must be taken in (`set`) before `check` can tell; None if none."""
        before = self._before(number)
        return before if before is not None and before >= 0 and before not in self._tails else None

    def check(self, number: int, info: SegmentInfo) -> None:
        """Checks that a segment follows those before it, as far as these were taken in.

        Raises:
            DamageError: it was written after another transaction than the one that is before it.
        """
        before = self._before(number)
        has_link = info.previous is not None or (info.since is not None and info.start >= info.since)
        if not has_link or before is None or (before >= 0 and before not in self._tails):
            return
        if info.previous != self._tails.get(before):
            key, other = self._segments[number][0], self._segments[max(before, 0)][0]
            raise DamageError(
                f"{key} does not follow {other}: it was written after another transaction than the last one "
                f"before t {info.start}. One of the two has another past, or lacks what was excised since",
                hint="Run verify with `live`: it tells which one differs from the source. Repair mends it.",
            )

    def _before(self, number: int) -> int | None:
        """Returns the nearest segment before one that has transactions, or may have some.

        It is -1 where there is none back to t 0, and None where a gap is between.
        """
        for at in range(number - 1, -1, -1):
            if self._segments[at][1].end < self._segments[at + 1][1].start:
                return None
            if at not in self._tails or self._tails[at] is not None:
                return at
        return -1 if self._segments[0][1].start == 0 else None
