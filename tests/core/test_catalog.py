"""Which of a backup's segments are read, as the listing of their names alone decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.errors import NotFound, UsageError
from asyncrestore.history.catalog import StoredSegment, aside_key, find_backup, list_backup
from asyncrestore.segments.document import SegmentRange
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def key(start: int, end: int, generation: int = 0) -> str:
    return StoredSegment(SegmentRange(start, end), 0, generation).key


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("0000000000000-0000000001000.parquet", StoredSegment(SegmentRange(0, 1000), 7)),
        ("0000000000000-0000000001000.1.parquet", StoredSegment(SegmentRange(0, 1000), 7, 1)),
        ("0000000000000-0000000001000.12.parquet", StoredSegment(SegmentRange(0, 1000), 7, 12)),
        ("0000000000000-0000000001000.0.parquet", None),
        ("0000000000000-0000000001000.01.parquet", None),
        ("0000000000000-0000000001000.1.1.parquet", None),
        ("0000000001000-0000000001000.1.parquet", None),
        ("0000000000000-0000000001000.parquet.aside", None),
        ("notes.1.parquet", None),
    ],
)
def test_names(name: str, segment: StoredSegment | None) -> None:
    assert StoredSegment.from_key(name, 7) == segment
    if segment:
        assert segment.key == name


CASES = {
    "neighbours": ([(0, 5), (5, 9)], [(0, 5), (5, 9)], [], []),
    "gap": ([(0, 5), (6, 9)], [(0, 5), (6, 9)], [(5, 6)], []),
    "no head": ([(6, 9)], [(6, 9)], [(0, 6)], []),
    "one within another": ([(0, 5), (2, 4), (5, 9)], [(0, 5), (5, 9)], [], []),
    "overlap": ([(0, 5), (3, 9)], [(0, 5), (3, 9)], [], [(3, 5)]),
    "compacted": ([(0, 5), (0, 9), (5, 9), (9, 10)], [(0, 9), (9, 10)], [], []),
    "written again": ([(0, 5, 0), (0, 5, 2), (0, 5, 1)], [(0, 5, 2)], [], []),
    "longer goes before newer": ([(0, 5, 1), (0, 9)], [(0, 9)], [], []),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("backwards", [False, True])
async def test_what_is_read(case: tuple[list[tuple[int, ...]], ...], *, backwards: bool) -> None:
    there, chain, gaps, overlaps = case
    store = MemoryStore()
    for each in reversed(there) if backwards else there:
        await store.publish("db", key(*each), b"x")
    backup = await list_backup(store, "db")
    assert [segment.key for segment in backup.chain()] == [key(*each) for each in chain]
    assert [(gap.start, gap.end) for gap in backup.gaps()] == gaps
    assert [(each.start, each.end) for each in backup.overlaps()] == overlaps
    assert {segment.key for segment in backup.superseded()} == {
        key(*each) for each in there if each not in chain
    }


async def test_what_was_put_aside_is_not_read() -> None:
    store = MemoryStore()
    for name in (key(0, 5), key(0, 9), key(5, 9)):
        await store.publish("db", name, b"x")
    backup = await list_backup(store, "db")
    await backup.put_aside(backup.chain()[0], "it is damaged")
    await store.publish("db", "notes.aside", b"")

    backup = await list_backup(store, "db")

    assert [segment.key for segment in backup.chain()] == [key(0, 5), key(5, 9)]
    assert (backup.aside, backup.foreign) == ((key(0, 9),), ("notes.aside",))
    assert aside_key(key(0, 9)) == "0000000000000-0000000000009.parquet.aside"
    assert await backup.why_aside(key(0, 9)) == "it is damaged"


async def test_a_folder_without_segments_is_no_backup(tmp_path: Path) -> None:
    """A publishing that was killed at its first segment leaves one."""
    store = FilesystemStore(tmp_path)
    for name in ("dead", "empty", "music"):
        (tmp_path / name).mkdir()
    (tmp_path / "dead" / f".{key(0, 5)}.0123456789abcdef").touch()
    with pytest.raises(NotFound, match="no backup named 'dead'; it holds dead, empty, music"):
        await find_backup(store, "dead")
    with pytest.raises(NotFound):
        await find_backup(store, None)
    await store.publish("music", key(0, 5), b"x")
    assert (await find_backup(store, None)).name == "music"
    await store.publish("empty", key(0, 5), b"x")
    with pytest.raises(UsageError, match="holds several backups: empty, music"):
        await find_backup(store, None)
