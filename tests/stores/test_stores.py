"""Every store keeps the promises of `Store`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from asyncrestore.errors import NotAuthorized, NotFound, StoreFailed, UsageError
from asyncrestore.stores import open_store
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import check_store

pytestmark = pytest.mark.anyio


async def test_memory_store() -> None:
    await check_store(MemoryStore())


async def test_filesystem_store(tmp_path: Path) -> None:
    await check_store(FilesystemStore(tmp_path / "made" / "here"))


async def test_filesystem_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", link)
    store = FilesystemStore(tmp_path)
    assert await store.publish("a", "1.parquet", b"one")
    assert not await store.publish("a", "1.parquet", b"other")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["1.parquet"]


async def test_durable_order_of_publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is on disk before the name, and the name before the answer."""
    calls: list[str] = []
    fsync, link = os.fsync, os.link

    def record_fsync(descriptor: int) -> None:
        calls.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name.split(".")[0])
        fsync(descriptor)

    def record_link(source: Path, destination: Path) -> None:
        calls.append("name")
        link(source, destination)

    (tmp_path / "a").mkdir()
    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "link", record_link)
    await FilesystemStore(tmp_path).publish("a", "1.parquet", b"one")
    assert calls == ["sync ", "name", "sync a"], "a temporary file's name begins with a dot"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES])
async def test_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    store = FilesystemStore(tmp_path)
    await store.publish("a", "1.parquet", b"one")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(NotAuthorized if number == errno.EACCES else StoreFailed):
        await store.publish("a", "2.parquet", b"two")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["1.parquet"]


async def test_unfinished_and_foreign_files_are_not_listed(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    await store.publish("a", "1.parquet", b"one")
    (tmp_path / "a" / ".2.parquet.1234").write_bytes(b"half")
    (tmp_path / "a" / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    assert [item.key for item in await store.list("a")] == ["1.parquet"]
    assert await store.names() == ["a"]


async def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await FilesystemStore(tmp_path / "none").names()


async def test_opening(tmp_path: Path) -> None:
    for uri, opened_as in (
        (str(tmp_path), str(tmp_path)),
        (f"file://{tmp_path}/a%20b", f"{tmp_path}/a b"),
        ("memory:", "memory:"),
    ):
        async with open_store(uri) as store:
            assert store.uri == opened_as
    for bad in ("", "ftp://x/y", "file://host/path", "s4://bucket"):
        with pytest.raises(UsageError):
            async with open_store(bad):
                pass
