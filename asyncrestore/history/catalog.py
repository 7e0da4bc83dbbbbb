"""A backup in a store: which segments it has, what they cover, and how to read them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import (
    OTHERWISE_PROTECTED,
    AsyncRestoreError,
    Conflict,
    NotAuthorized,
    NotFound,
    SegmentDamaged,
    SegmentGap,
    SegmentMisplaced,
    UsageError,
)
from asyncrestore.limits import MAX_REASON_BYTES, check_object_size, max_segment_bytes
from asyncrestore.segments.document import SegmentRange
from asyncrestore.segments.lineage import Chain
from asyncrestore.segments.segment import Segment
from asyncrestore.stores.base import Authenticates
from asyncrestore.stores.cipher import refuse_encrypted

if TYPE_CHECKING:
    from collections.abc import Collection

    from asyncrestore.model.log import Transaction
    from asyncrestore.stores.base import Store

_AGAIN = re.compile(r"(.+)\.([1-9][0-9]{0,8})\.parquet")
_ASIDE = ".aside"
SEGMENTS_AT_ONCE = 8
"""How many segments of a backup are read at the same time: a store may be far away."""

BACKUP_JSON = "backup.json"
"""The object that says which backup this is (see `backup_json`), for those that write the first segments."""

_REPAIR = "Run repair with the source: it puts the damaged segment aside and reads the rest again."
_IF_OTHERS_CAN = (
    "If other segments can be read, verify names each that cannot, and repair with the source puts it aside "
    "and reads its transactions again."
)


@dataclass(frozen=True, slots=True, order=True)
class StoredSegment:
    """A segment in a store as its name describes it: nothing of it was read.

    Attributes:
        range: what it covers.
        size: in bytes.
        generation: 0 at first, one more each time that the range is written again after a repair.
    """

    range: SegmentRange
    size: int
    generation: int = 0

    @property
    def key(self) -> str:
        """Its name in the backup: `START-END.parquet`, or `START-END.GENERATION.parquet`."""
        stem = self.range.key.removesuffix(".parquet")
        return f"{stem}.{self.generation}.parquet" if self.generation else self.range.key

    @classmethod
    def from_key(cls, key: str, size: int = 0) -> StoredSegment | None:
        """Returns the segment with that name, None if it is not the name of a segment."""
        again = _AGAIN.fullmatch(key)
        range_ = SegmentRange.from_key(f"{again[1]}.parquet" if again else key)
        return None if range_ is None else cls(range_, size, int(again[2]) if again else 0)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, as a listing of its store shows it.

    Attributes:
        store: where it is.
        name: its name there.
        segments: sorted by range; without those that were put aside.
        foreign: keys of objects that do not belong to a backup.
        aside: keys of segments that a repair put aside; they stay where they were and are not read.
        has_backup_json: whether it has the object `BACKUP_JSON`.
    """

    store: Store
    name: str
    segments: tuple[StoredSegment, ...]
    foreign: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    has_backup_json: bool = False

    @property
    def end(self) -> int:
        """The first t after all segments."""
        return max((segment.range.end for segment in self.segments), default=0)

    def chain(self) -> list[StoredSegment]:
        """The segments to read, in order; those whose transactions others have are left out."""
        chain: list[StoredSegment] = []
        position = 0
        for segment in sorted(self.segments, key=lambda s: (s.range.start, -s.range.end, -s.generation)):
            if segment.range.end > position:
                chain.append(segment)
                position = segment.range.end
        return chain

    def superseded(self) -> list[StoredSegment]:
        """The segments that are not read, because others cover the same transactions."""
        chain = set(self.chain())
        return [segment for segment in self.segments if segment not in chain]

    def overlaps(self) -> list[SegmentRange]:
        """The ranges that two segments of the chain cover."""
        return [
            SegmentRange(after.range.start, before.range.end)
            for before, after in pairwise(self.chain())
            if after.range.start < before.range.end
        ]

    def gaps(self, end: int | None = None) -> list[SegmentRange]:
        """The ranges that no segment covers, from 0 to `end` (without it, to the last segment)."""
        end = self.end if end is None else end
        starts = [*(segment.range.start for segment in self.chain()), end]
        ends = [0, *(segment.range.end for segment in self.chain())]
        between = ((before, min(after, end)) for before, after in zip(ends, starts, strict=True))
        return [SegmentRange(before, after) for before, after in between if before < after]

    def covers(self, range_: SegmentRange) -> bool:
        """Returns whether the segments hold all of a range."""
        return all(gap.end <= range_.start or range_.end <= gap.start for gap in self.gaps(range_.end))

    def check_contiguous(self, end: int | None = None) -> None:
        """Checks that nothing is missing before `end` (without it, before the last segment).

        Raises:
            SegmentGap: a range before it is missing.
        """
        gaps = [gap for gap in self.gaps() if end is None or gap.start < end]
        if gaps:
            missing = ", ".join(f"{gap.start} to {gap.end - 1}" for gap in gaps)
            raise SegmentGap(
                f"{self.where()}: no segment holds t {missing}",
                hint="Run backup or repair with the source: they fill gaps.",
            ).about(place=self.where(), t=gaps[0].start)

    def linked(self) -> Chain:
        """Returns what checks that the segments to read follow each other."""
        return Chain([(segment.key, segment.range) for segment in self.chain()])

    def where(self, key: str | None = None) -> str:
        """The place of the backup, or of one of its objects, in human-readable form."""
        return "/".join(part for part in (self.store.uri.rstrip("/"), self.name, key) if part)

    async def read(self, stored: StoredSegment) -> Segment:
        """Reads a segment and checks its digest.

        Raises:
            SegmentDamaged: it is not what was written, or has the name of another segment.
            NotFound: it is gone.
            OtherKey: it is encrypted or signed with another key than the one that the store was opened with,
                or encrypted, and the store was opened without a key.
            Unprotected: it is not encrypted or not signed, and the store was opened with a key.
        """
        try:
            return await self._read(stored)
        except AsyncRestoreError as exc:
            exc.about(place=self.where(), segment=stored.key)
            raise

    async def _read(self, stored: StoredSegment) -> Segment:
        where = self.where(stored.key)
        check_object_size(where, stored.size)
        try:
            data = await self.store.read(self.name, stored.key)
            segment = await to_thread.run_sync(_segment, data, where)
        except OTHERWISE_PROTECTED as exc:
            exc.hint = f"{exc.hint} {_IF_OTHERS_CAN}".lstrip()
            raise
        if segment.info.range != stored.range:
            raise SegmentMisplaced(
                f"{self.where(stored.key)} holds another segment's transactions: {segment.info.range.key}",
                hint=_REPAIR,
            )
        return segment

    def check_may_add(self, segment: Segment) -> None:
        """Checks that segments can be added to those of which this is one.

        Raises:
            NotAuthorized: it is signed, and the store was opened without a key.
        """
        if segment.signed and not isinstance(self.store, Authenticates):
            raise NotAuthorized(
                f"{self.where(segment.info.range.key)} is signed, and no key was given",
                hint="Give the key that it was signed with: `SigningKey`.",
            )

    async def inspect(
        self, stored: StoredSegment, before: int | None = None
    ) -> tuple[Segment, Transaction | None]:
        """Reads a segment, and decodes and checks all of it; raises what `read` raises.

        Returns:
            The segment, and its last transaction before the t `before`, by default its end.
        """
        segment = await self.read(stored)
        await to_thread.run_sync(segment.check_rows)
        last = await to_thread.run_sync(segment.last_before, stored.range.end if before is None else before)
        return segment, last

    async def was_ours(self, stored: StoredSegment, source: str) -> bool:
        """Whether a segment that was put aside may have held what its name says of this backup.

        It did not if it is whole, and lies under another segment's name or is another database's; nor if it
        is gone, or somebody says so by an empty object beside it. Of one that is damaged or cannot be
        decrypted nobody can tell.
        """
        with suppress(NotFound, SegmentDamaged, NotAuthorized, Conflict):
            if not await self.why_aside(stored.key):
                return False
        try:
            return (await self.inspect(stored))[0].info.source == source
        except (SegmentMisplaced, NotFound):
            return False
        except (SegmentDamaged, NotAuthorized, Conflict):
            return True

    async def put_aside(self, stored: StoredSegment, reason: str) -> None:
        """Takes a segment out of the backup without touching it, by an object beside it that has the reason.

        A store need not allow deleting or renaming, and a damaged segment may be wanted as evidence.
        """
        await self.store.publish(self.name, aside_key(stored.key), reason.encode())

    async def why_aside(self, key: str) -> str:
        """Returns the reason for which a segment was put aside; of a long one only that it is long."""
        with max_segment_bytes(MAX_REASON_BYTES):
            return (await self.store.read(self.name, aside_key(key))).decode(errors="replace")


def _segment(data: bytes, where: str) -> Segment:
    try:
        refuse_encrypted(data, where)
    except SegmentDamaged as exc:
        raise type(exc)(f"{where} is damaged: {exc}", hint=exc.hint or _REPAIR) from exc
    return Segment(data, where)


def aside_key(key: str) -> str:
    """Returns the name of the object by which a segment is put aside."""
    return key + _ASIDE


PROBES = ".validate-store-"
"""Prefix of the names under which `validate_store` leaves objects."""


async def backup_names(store: Store) -> list[str]:
    """Returns the names of the backups in a store, sorted.

    Raises:
        NotFound: there is no such store.
    """
    return [name for name in await store.names() if not name.startswith(PROBES)]


async def find_backup(store: Store, name: str | None) -> Backup:
    """Returns the backup with that name, or the only one in the store.

    Raises:
        NotFound: there is no such store or backup.
        UsageError: the store has several backups and no name was given.
    """
    names = await backup_names(store)
    if name is None:
        if not names:
            raise NotFound(f"{store.uri} holds no backup", hint="Make one: asyncrestore backup SOURCE STORE")
        if len(names) > 1:
            # A process killed while it published may have left a directory with nothing in it.
            names = [each for each in names if (await list_backup(store, each)).segments] or names[:1]
        if len(names) > 1:
            raise UsageError(
                f"{store.uri} holds several backups: {', '.join(names)}", hint="Say which one with `name`."
            )
        name = names[0]
    backup = await list_backup(store, name)
    if not backup.segments:
        found = f"; it holds {', '.join(names)}" if names and names != [name] else ""
        raise NotFound(
            f"{store.uri} holds no backup named {name!r}{found}",
            hint="Check the store's URI; a backup has files such as 0000000000000-0000000010000.parquet.",
        )
    return backup


async def list_backup(store: Store, name: str, *, without: Collection[str] = ()) -> Backup:
    """Returns the backup with that name, without segments if there is none yet.

    Args:
        store: where it is.
        name: of the backup.
        without: keys of segments to treat as put aside, too.
    """
    segments, foreign, aside, has_backup_json = [], [], set(without), False
    for stored in await store.list(name):
        segment = StoredSegment.from_key(stored.key, stored.size)
        if segment is not None:
            segments.append(segment)
        elif stored.key.endswith(_ASIDE) and StoredSegment.from_key(stored.key.removesuffix(_ASIDE)):
            aside.add(stored.key.removesuffix(_ASIDE))
        elif stored.key == BACKUP_JSON:
            has_backup_json = True
        else:
            foreign.append(stored.key)
    kept = sorted(segment for segment in segments if segment.key not in aside)
    return Backup(store, name, tuple(kept), tuple(foreign), tuple(sorted(aside)), has_backup_json)


async def publish_segment(backup: Backup, range_: SegmentRange, data: bytes) -> bool:
    """Publishes a segment, unless the store has the same content under that range already.

    Args:
        backup: as it was listed. If a segment of that range was put aside, the next generation is written.
        range_: what the segment covers.
        data: the segment's bytes.

    Returns:
        Whether it was written now.

    Raises:
        Conflict: the store has other content under that range.
        SegmentDamaged: the segment that the store has cannot be read.
    """
    generations = (StoredSegment(range_, len(data), generation) for generation in count())
    stored = next(each for each in generations if each.key not in backup.aside)
    if await backup.store.publish(backup.name, stored.key, data):
        return True
    there = await backup.read(stored)
    new = Segment(data)
    if not await to_thread.run_sync(there.same_content, new):
        raise Conflict(
            f"{backup.where(stored.key)} holds other transactions than the source",
            hint="The backup may be of another database, or the source was rolled back or made again. "
            "Use another `name`.",
        )
    return False
