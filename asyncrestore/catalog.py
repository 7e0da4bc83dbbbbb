"""A backup in a store: its segments, what they cover, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread

from asyncrestore.errors import Conflict, NotFound, SegmentDamaged, SegmentGap, UsageError
from asyncrestore.segment import Segment, SegmentRange

if TYPE_CHECKING:
    from asyncrestore.stores.base import Store


@dataclass(frozen=True, slots=True, order=True)
class StoredSegment:
    """A segment in a store, by its name alone: nothing of it was read."""

    range: SegmentRange
    size: int


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as a listing of its store shows it.

    Attributes:
        store: where it is.
        name: its name there.
        segments: sorted by range.
        foreign: keys of objects that are no segments.
    """

    store: Store
    name: str
    segments: tuple[StoredSegment, ...]
    foreign: tuple[str, ...]

    @property
    def end(self) -> int:
        """The first t after all segments."""
        return max((segment.range.end for segment in self.segments), default=0)

    def chain(self) -> list[StoredSegment]:
        """The segments to read, in order, each continuing the one before; overlapped ones are left out."""
        chain: list[StoredSegment] = []
        position = 0
        for segment in sorted(self.segments, key=lambda s: (s.range.start, -s.range.end)):
            if segment.range.end > position:
                chain.append(segment)
                position = segment.range.end
        return chain

    def gaps(self, end: int | None = None) -> list[SegmentRange]:
        """What no segment covers, from 0 to `end` (without it, to the last segment)."""
        gaps: list[SegmentRange] = []
        position = 0
        for segment in self.chain():
            if segment.range.start > position:
                gaps.append(SegmentRange(position, segment.range.start))
            position = segment.range.end
        if end is not None and position < end:
            gaps.append(SegmentRange(position, end))
        return gaps

    def check_contiguous(self) -> None:
        """Makes sure that nothing is missing before the last segment.

        Raises:
            SegmentGap: something is.
        """
        gaps = self.gaps()
        if gaps:
            missing = ", ".join(f"{gap.start} to {gap.end - 1}" for gap in gaps)
            raise SegmentGap(
                f"{self.where()}: no segment holds t {missing}",
                hint="Run the backup again with the source: it fills gaps.",
            )

    def where(self, key: str | None = None) -> str:
        """The backup's place, or that of one of its objects, for people."""
        return "/".join(part for part in (self.store.uri.rstrip("/"), self.name, key) if part)

    async def read(self, range_: SegmentRange) -> Segment:
        """Reads and checks a segment.

        Raises:
            SegmentDamaged: it is not what was written, or lies under another segment's name.
            NotFound: it is gone.
        """
        data = await self.store.read(self.name, range_.key)
        try:
            segment = await to_thread.run_sync(Segment, data)
        except SegmentDamaged as exc:
            raise SegmentDamaged(
                f"{self.where(range_.key)} is damaged: {exc}",
                hint=exc.hint or "Move the file away and run the backup again: it fills the gap.",
            ) from exc
        if segment.info.range != range_:
            raise SegmentDamaged(
                f"{self.where(range_.key)} holds another segment's transactions: {segment.info.range.key}",
                hint="Give the file its own name back, or move it away and run the backup again.",
            )
        return segment


PROBES = ".validate-store-"
"""What the names begin with under which `validate_store` leaves objects."""


async def backup_names(store: Store) -> list[str]:
    """Names of the backups in a store, sorted.

    Raises:
        NotFound: there is no such store.
    """
    return [name for name in await store.names() if not name.startswith(PROBES)]


async def find_backup(store: Store, name: str | None) -> Backup:
    """The backup with that name, or the only one in the store.

    Raises:
        NotFound: there is no such store or backup.
        UsageError: the store has several backups and no name was given.
    """
    names = await backup_names(store)
    if name is None:
        if not names:
            raise NotFound(f"{store.uri} holds no backup", hint="Make one: asyncrestore backup SOURCE STORE")
        if len(names) > 1:
            raise UsageError(
                f"{store.uri} holds several backups: {', '.join(names)}", hint="Say which one with --name."
            )
        name = names[0]
    backup = await list_backup(store, name)
    if not backup.segments:
        found = f"; it holds {', '.join(names)}" if names and names != [name] else ""
        raise NotFound(f"{store.uri} holds no backup named {name!r}{found}")
    return backup


async def list_backup(store: Store, name: str) -> Backup:
    """The backup with that name, without segments when there is none yet."""
    segments, foreign = [], []
    for stored in await store.list(name):
        range_ = SegmentRange.from_key(stored.key)
        if range_ is None:
            foreign.append(stored.key)
        else:
            segments.append(StoredSegment(range_, stored.size))
    return Backup(store, name, tuple(sorted(segments)), tuple(foreign))


async def publish_segment(store: Store, name: str, range_: SegmentRange, data: bytes) -> bool:
    """Publishes a segment; the same content that is there already is fine.

    Returns:
        Whether it was written now.

    Raises:
        Conflict: other content is under the same range.
        SegmentDamaged: what is there cannot be read.
    """
    if await store.publish(name, range_.key, data):
        return True
    backup = Backup(store, name, (), ())
    there = await backup.read(range_)
    new = Segment(data)
    if there.info != new.info or not await to_thread.run_sync(there.same_rows, new):
        raise Conflict(
            f"{backup.where(range_.key)} holds other transactions than the source",
            hint="It may be another database's backup, or the source was rolled back; use another --name.",
        )
    return False
