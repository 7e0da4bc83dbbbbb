"""A store in a directory: a folder for each backup, a file for each object."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from typing_extensions import override

from asyncrestore.errors import (
    OPEN_FILES_HINT,
    NotAuthorized,
    NotFound,
    SegmentDamaged,
    StoreFailed,
    has_too_many_open_files,
)
from asyncrestore.limits import check_object_size
from asyncrestore.paths import status
from asyncrestore.stores.base import Deletes, StoredObject, folder_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_UNREADABLE = {errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}  # the last one is Linux's
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Maps the file system's errors to this package's, with the path that they are about."""
    try:
        yield
    except FileNotFoundError as exc:
        raise NotFound(f"{path} does not exist") from exc
    except PermissionError as exc:
        raise NotAuthorized(
            f"{path}: {exc.strerror}", hint="Check the owner and mode of the directory."
        ) from exc
    except OSError as exc:
        hint = OPEN_FILES_HINT if has_too_many_open_files(exc) else ""
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            hint = "Free some space and run the same command again: what is published stays."
        raise StoreFailed(f"{path}: {exc.strerror or exc}", hint=hint) from exc


def _sync(descriptor: int) -> None:
    """Makes the names in an open directory durable, where it can be done (some network shares cannot)."""
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in _NO_DIRECTORY_SYNC:
            raise


@contextmanager
def _opened(folder: Path, *, link: bool = False) -> Iterator[int]:
    """Opens a directory; what is done with it by its number does not depend on its path any more.

    Args:
        folder: its path.
        link: also if that is a symbolic link. A backup's directory must be none: whoever may write to the
            store could have files elsewhere deleted or made.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | (0 if link else os.O_NOFOLLOW)
    try:
        descriptor = os.open(folder, flags)
    except OSError as exc:
        if link or not folder.is_symlink():
            raise
        raise StoreFailed(
            f"{folder} is a link: nothing is written or deleted through it",
            hint="Name the directory that it leads to as a part of a store, or mount that directory there.",
        ) from exc
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_directories(path: Path, mode: int) -> None:
    """Makes a directory and its parents, each durable."""
    there = status(path)
    if there is None or not stat.S_ISDIR(there.st_mode):
        _make_directories(path.parent, mode)
        path.mkdir(mode, exist_ok=True)
        if path.stat().st_mode & mode & 0o077 != mode & 0o077:  # the umask took some of it away
            path.chmod(mode)
        with _opened(path.parent, link=True) as parent:
            _sync(parent)


def _write_durably(folder: int, name: str, data: bytes, mode: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        if os.fstat(descriptor).st_mode & mode != mode:  # the umask took some of it away
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _give_name(folder: int, temporary: str, name: str) -> bool:
    """Gives a finished file its name, unless that is taken: a hard link never replaces anything."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_HARD_LINKS:
            raise
        # No hard links here (exFAT, some network shares). Two writers between these two calls would
        # replace one whole segment by another with the same transactions.
        if _lstat(folder, name) is not None:
            return False
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def _lstat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _unlink(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


class FilesystemStore(Deletes):
    """A store that keeps objects as files.

    Args:
        root: the store's directory; made when the first object is published.
        mode: of new files. New directories have it too, and may be entered by whoever may read them.
    """

    def __init__(self, root: Path, *, mode: int = 0o600) -> None:
        self._root = root
        self._mode = mode
        self.uri = str(root)

    @override
    async def names(self) -> list[str]:

        def run() -> list[str]:
            with _errors(self._root):
                return _names(self._root)

        return await to_thread.run_sync(run)

    @override
    async def list(self, name: str) -> list[StoredObject]:
        folder = self._root / folder_of(name)

        def run() -> list[StoredObject]:
            with _errors(folder):
                return _listing(folder)

        return await to_thread.run_sync(run)

    @override
    async def read(self, name: str, key: str) -> bytes:
        path = self._root / folder_of(name) / key

        def run() -> bytes:
            with _errors(path):
                return _read(path)

        return await to_thread.run_sync(run)

    @override
    async def publish(self, name: str, key: str, data: bytes) -> bool:
        path = self._root / folder_of(name) / key

        def run() -> bool:
            with _errors(path):
                return _publish(path, data, self._mode)

        return await to_thread.run_sync(run)

    @override
    async def delete(self, name: str, key: str) -> None:
        path = self._root / folder_of(name) / key

        def run() -> None:
            with _errors(path):
                _delete(path)

        await to_thread.run_sync(run)


def _names(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        return sorted(
            name
            for entry in entries
            # The root of a file system often has this directory, which only root can look into.
            if entry.name != "lost+found"
            and _is_directory(entry)
            and (name := name_of(entry.name)) is not None
        )


def _is_directory(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink() and status(Path(entry)) is None:
        # A backup that is taken for none would leave another one as "the only one".
        raise StoreFailed(
            f"{entry.path} is a link that leads nowhere",
            hint="Mount the disk that it leads to, or remove the link if no backup is meant.",
        )
    return entry.is_dir()


def _listing(folder: Path) -> list[StoredObject]:
    found = []
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return []
    with entries:
        for entry in entries:
            # Files that are deleted meanwhile are passed over.
            with suppress(FileNotFoundError):
                if not entry.name.startswith("."):
                    found.append(StoredObject(entry.name, _size(entry)))
    return sorted(found)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        if entry.is_symlink():
            return 0  # the link leads nowhere, but the name is taken
        raise


def _read(path: Path) -> bytes:
    """The content of a file. Anything else is damage: a pipe would be waited for without end.

    So is a file that the disk cannot give back, or one too large for a segment: a command that looks at all
    of them must come to the next.
    """
    there = status(path)
    if os.path.lexists(path) if there is None else not stat.S_ISREG(there.st_mode):
        raise _no_file(path)
    try:
        # Something else may have come into its place since: a pipe must not be waited for.
        with open(path, "rb", opener=_open) as file:
            opened = os.fstat(file.fileno())
            if not stat.S_ISREG(opened.st_mode):
                raise _no_file(path)
            check_object_size(str(path), opened.st_size)
            return file.read(opened.st_size)
    except OSError as exc:
        if exc.errno not in _UNREADABLE:
            raise
        raise SegmentDamaged(
            f"{path}: {exc.strerror}", hint="Check the disk, then run repair with the source."
        ) from exc


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _no_file(path: Path) -> SegmentDamaged:
    return SegmentDamaged(f"{path} is not a file, nor a link to one", hint="Run repair with the source.")


def _delete(path: Path) -> None:
    """Removes a file, and its directory too if that was the last one. A link is removed, not followed."""
    try:
        with _opened(path.parent) as folder:
            there = _lstat(folder, path.name)
            if there is not None and stat.S_ISDIR(there.st_mode):
                os.rmdir(path.name, dir_fd=folder)  # somebody put it in a segment's place; it must be empty
            else:
                _unlink(folder, path.name)
            _sync(folder)
            _remove_if_empty(path.parent, folder)
    except FileNotFoundError:
        return  # another one deletes the same


def _remove_if_empty(path: Path, folder: int) -> None:
    """Removes a backup's directory in which nothing is but what processes that were killed left."""
    left = os.listdir(folder)
    if not all(map(_TEMPORARY.fullmatch, left)):
        return
    for name in left:
        _unlink(folder, name)
    # It may be a mount point, or not ours to remove: an empty one does no harm.
    with suppress(OSError):
        path.rmdir()
        with _opened(path.parent, link=True) as parent:
            _sync(parent)


def _publish(path: Path, data: bytes, mode: int) -> bool:
    try:
        return _publish_once(path, data, mode)
    except FileNotFoundError:
        # A `delete` has just removed the directory with the last object in it: it is made again.
        return _publish_once(path, data, mode)


def _publish_once(path: Path, data: bytes, mode: int) -> bool:
    """Temporary file, fsync, name, fsync of the directory: a power cut leaves all of it or nothing."""
    _make_directories(path.parent, mode | (mode >> 2 & 0o111))
    # With a leading dot, listings pass over what a killed process left behind.
    temporary = f".{path.name}.{secrets.token_hex(8)}"
    with _opened(path.parent) as folder:
        try:
            _write_durably(folder, temporary, data, mode)
            created = _give_name(folder, temporary, path.name)
        finally:
            _unlink(folder, temporary)
        _sync(folder)
    return created
