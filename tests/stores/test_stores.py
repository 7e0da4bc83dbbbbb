"""Every store keeps the promises of `Store`."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from asyncrestore.errors import NotAuthorized, NotFound, SegmentDamaged, StoreFailed, UsageError
from asyncrestore.stores import open_store
from asyncrestore.stores.base import Deletes, Store, StoredObject
from asyncrestore.stores.encrypted import encrypted
from asyncrestore.stores.filesystem import FilesystemStore
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.stores.signed import SigningKey
from asyncrestore.testing import check_store
from tests.support.refused import no_more_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.stores.encrypted import Encryption

pytestmark = pytest.mark.anyio

ENCRYPTIONS = [
    pytest.param(None, id="plain"),
    pytest.param(bytes(32), id="encrypted"),
    pytest.param(SigningKey(bytes(32)), id="signed"),
]


class KeepingStore(Store):
    """A store that cannot delete."""

    uri = MemoryStore.uri

    def __init__(self) -> None:
        self._inner = MemoryStore()

    async def names(self) -> list[str]:
        return await self._inner.names()

    async def list(self, name: str) -> list[StoredObject]:
        return await self._inner.list(name)

    async def read(self, name: str, key: str) -> bytes:
        return await self._inner.read(name, key)

    async def publish(self, name: str, key: str, data: bytes) -> bool:
        return await self._inner.publish(name, key, data)


async def test_a_directory_keeps_the_promises(tmp_path: Path) -> None:
    await check_store(FilesystemStore(tmp_path / "made" / "here"))


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
async def test_memory_keeps_the_promises_whatever_protects_it(encryption: Encryption | None) -> None:
    async with encrypted(MemoryStore(), encryption) as store:
        await check_store(store)


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize(("inner", "deletes"), [(MemoryStore(), True), (KeepingStore(), False)])
async def test_a_protected_store_deletes_if_the_one_within_does(
    inner: Store, deletes: bool, encryption: Encryption | None
) -> None:
    async with encrypted(inner, encryption) as store:
        assert isinstance(store, Deletes) == deletes


class Misstating(KeepingStore):
    """Lists each object as a byte longer than it is."""

    async def list(self, name: str) -> list[StoredObject]:
        return [StoredObject(each.key, each.size + 1) for each in await super().list(name)]


async def test_sizes_that_no_key_explains() -> None:
    with pytest.raises(AssertionError, match="the sizes of objects"):
        await check_store(Misstating())


async def test_filesystem_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
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

    def record_link(source: str, destination: str, **folders: Any) -> None:
        calls.append("name")
        link(source, destination, **folders)

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


async def test_unfinished_files_are_not_listed(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    await store.publish("a", "1.parquet", b"one")
    (tmp_path / "a" / ".2.parquet.1234").write_bytes(b"half")
    (tmp_path / "file").write_bytes(b"")
    assert [item.key for item in await store.list("a")] == ["1.parquet"]
    assert await store.names() == ["a"]


async def test_what_is_no_file_is_listed_and_is_damage(tmp_path: Path) -> None:
    """It has an object's name, which nothing else can get then; and a pipe is not waited for."""
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "directory").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "dangling").symlink_to(tmp_path / "nothing")
    (folder / "loop").symlink_to(folder / "loop")
    (tmp_path / "elsewhere").write_bytes(b"one")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    store = FilesystemStore(tmp_path)
    assert [each.key for each in await store.list("a")] == ["dangling", "directory", "link", "loop", "pipe"]
    assert await store.read("a", "link") == b"one"
    for key in ("dangling", "directory", "loop", "pipe"):
        assert not await store.publish("a", key, b"other")
        with pytest.raises(SegmentDamaged, match=f"{folder / key} is not a file"):
            await store.read("a", key)
    with pytest.raises(NotFound):
        await store.read("a", "other")


async def test_a_backup_on_a_disk_that_is_not_mounted_is_not_taken_for_none(tmp_path: Path) -> None:
    """The other one would be "the only one", and be restored."""
    store = FilesystemStore(tmp_path)
    await store.publish("staging", "1.parquet", b"one")
    (tmp_path / "production").symlink_to(tmp_path / "not mounted")
    with pytest.raises(StoreFailed, match=f"{tmp_path}/production is a link that leads nowhere") as error:
        await store.names()
    assert "Mount the disk" in error.value.hint


async def test_names_in_another_encoding(tmp_path: Path) -> None:
    latin = "caf\udce9"  # as Python has the bytes of a path that are no UTF-8
    try:
        (tmp_path / latin).mkdir()
    except OSError:
        pytest.skip("this file system has Unicode names only")
    store = FilesystemStore(tmp_path)
    await store.publish("a", "1.parquet", b"one")
    assert await store.names() == ["a"]
    with pytest.raises(UsageError, match="not Unicode text"):
        await store.publish(latin, "1.parquet", b"one")


async def test_paths_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="home directory"):
        async with open_store("~nobody-of-this-name/x"):
            pass
    with pytest.raises(UsageError, match="is not a URI"):
        async with open_store("file://[x/y"):
            pass
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(NotFound, match="working directory"):
        async with open_store("x"):
            pass


async def test_too_many_open_files_are_not_taken_for_an_empty_store(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    await store.publish("a", "1.parquet", b"one")
    for request in (
        store.names,
        lambda: store.list("a"),
        lambda: store.read("a", "1.parquet"),
        lambda: store.publish("b", "1.parquet", b"one"),
    ):
        with no_more_files(), pytest.raises(StoreFailed, match=f"{tmp_path}.*Too many open files") as caught:
            await request()
        assert "ulimit -n" in caught.value.hint


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


async def test_what_is_deleted_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path)
    for key in ("1.parquet", "2.parquet", "3.parquet"):
        await store.publish("a", key, b"one")
    scandir = os.scandir

    class Scan:
        """The entries as they were read, and one of them deleted since."""

        def __init__(self, folder: Path) -> None:
            with scandir(folder) as entries:
                self.entries = list(entries)
            (folder / "2.parquet").unlink()

        def __enter__(self) -> Self:
            return self

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self.entries)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Scan)
    assert [each.key for each in await store.list("a")] == ["1.parquet", "3.parquet"]


async def test_deleting_the_last_object_takes_what_killed_writers_left(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    for key in ("1.parquet", "2.parquet"):
        await store.publish("a", key, b"one")
    left = tmp_path / "a" / ".3.parquet.0123456789abcdef"
    left.write_bytes(b"half")
    await store.delete("a", "1.parquet")
    assert left.exists()
    await store.delete("a", "2.parquet")
    assert not (tmp_path / "a").exists()

    await store.publish("b", "1.parquet", b"one")
    (tmp_path / "b" / ".mine").write_bytes(b"")
    await store.delete("b", "1.parquet")
    assert (tmp_path / "b" / ".mine").exists(), "only what publishing left is its to delete"


async def test_a_directory_in_an_objects_place_is_deleted_if_it_is_empty(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    place = tmp_path / "a" / "1.parquet"
    (place / "full").mkdir(parents=True)
    with pytest.raises(StoreFailed, match="not empty"):
        await store.delete("a", "1.parquet")
    (place / "full").rmdir()
    await store.delete("a", "1.parquet")
    assert await store.names() == []


async def test_the_root_of_a_disk_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    store = FilesystemStore(tmp_path)
    await store.publish("a", "1.parquet", b"one")
    assert await store.names() == ["a"]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("datomic:dev://host:4334/music?password=secret", "datomic:dev://host:4334/music?..."),
        ("https://key:secret@host/path", "https://...@host/path"),
        ("S3://key:secret@bucket/prefix?key=secret&region=r", "S3://...@bucket/prefix?...&region=r"),
    ],
)
async def test_no_store_and_no_secret_told(uri: str, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        async with open_store(uri):
            pass
    assert f"'{shown}' is not a store" in str(caught.value)
    assert "secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    "uri",
    [
        "file:///data/a#b",
        "file:///data/a?b",
        "file:///a?mode=777",
        "file:///a?mode=400",
        "file:///a?mode=640#b",
    ],
)
async def test_a_path_is_not_cut_short(uri: str) -> None:
    with pytest.raises(UsageError, match="a question mark or a hash"):
        async with open_store(uri):
            pass


async def test_a_file_that_the_disk_cannot_give_back_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path)
    await store.publish("a", "1.parquet", b"one")

    def fail(path: str, flags: int, *rest: int) -> int:
        if path.endswith("1.parquet"):
            raise OSError(errno.EIO, "Input/output error", path)
        return opened(path, flags, *rest)

    opened = os.open
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(SegmentDamaged, match=r"1.parquet: Input/output error"):
        await store.read("a", "1.parquet")


async def test_a_backups_directory_that_cannot_be_removed_is_left_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", str(path))

    monkeypatch.setattr(Path, "rmdir", refuse)  # as a mount point does
    store = FilesystemStore(tmp_path / "store")
    for key in ("1.parquet", "2.parquet"):
        await store.publish("a", key, b"one")
        await store.delete("a", key)
    assert list((tmp_path / "store" / "a").iterdir()) == []


async def test_nothing_is_written_or_deleted_through_a_link(tmp_path: Path) -> None:
    """Whoever may write to a store could have files elsewhere deleted."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.parquet").write_bytes(b"mine")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a").symlink_to(elsewhere)
    store = FilesystemStore(tmp_path / "store")
    assert await store.read("a", "1.parquet") == b"mine", "reading does no harm"
    for request in (store.delete("a", "1.parquet"), store.publish("a", "2.parquet", b"two")):
        with pytest.raises(StoreFailed, match=f"{tmp_path}/store/a is a link: nothing is written or deleted"):
            await request
    assert [path.read_bytes() for path in elsewhere.iterdir()] == [b"mine"]

    # A link in an object's place is removed itself.
    await store.publish("b", "1.parquet", b"one")
    (tmp_path / "store" / "b" / "2.parquet").symlink_to(elsewhere / "1.parquet")
    (tmp_path / "store" / "b" / "3.parquet").symlink_to(elsewhere)
    for key in ("2.parquet", "3.parquet"):
        assert not await store.publish("b", key, b"other")
        await store.delete("b", key)
    assert [each.key for each in await store.list("b")] == ["1.parquet"]
    assert (elsewhere / "1.parquet").read_bytes() == b"mine"

    # The store itself may be named by a link.
    (tmp_path / "link").symlink_to(tmp_path / "store")
    await FilesystemStore(tmp_path / "link").delete("b", "1.parquet")
    assert not (tmp_path / "store" / "b").exists()


@pytest.mark.parametrize(
    ("option", "mask", "file", "directory"),
    [
        ("", 0o022, 0o600, 0o700),
        ("", 0, 0o600, 0o700),
        ("?mode=640", 0o077, 0o640, 0o750),
        ("?mode=0664", 0, 0o664, 0o775),
    ],
)
async def test_the_mode_of_what_is_written(
    tmp_path: Path, option: str, mask: int, file: int, directory: int
) -> None:
    before = os.umask(mask)
    try:
        async with open_store(f"file://{tmp_path}/made/here{option}") as store:
            await store.publish("a", "1.parquet", b"one")
    finally:
        os.umask(before)
    folder = tmp_path / "made" / "here" / "a"
    assert stat.S_IMODE((folder / "1.parquet").stat().st_mode) == file
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder, *folder.parents[:2])} == {directory}
    assert store.uri == f"{tmp_path}/made/here"


async def test_directories_that_cannot_be_synced_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    store = FilesystemStore(tmp_path)
    assert await store.publish("a", "1.parquet", b"one")
    assert await store.read("a", "1.parquet") == b"one"


async def test_a_directory_that_is_deleted_during_a_publishing_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FilesystemStore(tmp_path)
    link = os.link
    deleted: list[str] = []

    def after_a_delete(temporary: str, name: str, **folders: Any) -> None:
        if not deleted:
            deleted.append(temporary)
            shutil.rmtree(tmp_path / "a")
        link(temporary, name, **folders)

    monkeypatch.setattr(os, "link", after_a_delete)
    assert await store.publish("a", "1.parquet", b"one")
    assert len(deleted) == 1
    assert await store.read("a", "1.parquet") == b"one"
