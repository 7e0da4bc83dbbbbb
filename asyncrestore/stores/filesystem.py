"""A store in a directory: a folder for each backup, a file for each object."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from anyio import to_thread

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
from asyncrestore.stores.base import StoredObject, folder_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def _sync_directory(path: Path) -> None:
    """Makes the names in a directory durable, where the file system can (some network shares cannot)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)


def _make_directories(path: Path) -> None:
    """Makes a directory and its parents, each durable."""
    there = status(path)
    if there is None or not stat.S_ISDIR(there.st_mode):
        _make_directories(path.parent)
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _give_name(temporary: Path, path: Path) -> bool:
    """Gives a finished file its name, unless that is taken: a hard link never replaces anything."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_HARD_LINKS:
            raise
        # No hard links here (exFAT, some network shares). Two writers between these two calls would
        # replace one whole segment by another with the same transactions.
        if os.path.lexists(path):
            return False
        temporary.rename(path)
    return True


class FilesystemStore:
    """A `Store` that keeps objects as files.

    Args:
        root: the store's directory; made when the first object is published.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.uri = str(root)

    async def names(self) -> list[str]:
        """See `Store`."""

        def run() -> list[str]:
            with _errors(self._root):
                return _names(self._root)

        return await to_thread.run_sync(run)

    async def list(self, name: str) -> list[StoredObject]:
        """See `Store`."""
        folder = self._root / folder_of(name)

        def run() -> list[StoredObject]:
            with _errors(folder):
                return _listing(folder)

        return await to_thread.run_sync(run)

    async def read(self, name: str, key: str) -> bytes:
        """See `Store`."""
        path = self._root / folder_of(name) / key

        def run() -> bytes:
            with _errors(path):
                return _read(path)

        return await to_thread.run_sync(run)

    async def publish(self, name: str, key: str, data: bytes) -> bool:
        """See `Store`."""
        path = self._root / folder_of(name) / key

        def run() -> bool:
            with _errors(path):
                return _publish(path, data)

        return await to_thread.run_sync(run)

    async def delete(self, name: str, key: str) -> None:
        """See `Deletes`."""
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
            if entry.name != "lost+found" and entry.is_dir() and (name := name_of(entry.name)) is not None
        )


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
    """Removes a file, and its directory too if that was the last one."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()  # somebody put it in a segment's place; it must be empty
    else:
        path.unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # another one deletes the same
        _sync_directory(path.parent)
        _remove_if_empty(path.parent)


def _remove_if_empty(folder: Path) -> None:
    """Removes a backup's directory in which nothing is but what processes that were killed left."""
    left = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _TEMPORARY.fullmatch(entry.name):
                return
            left.append(folder / entry.name)
    for path in left:
        path.unlink(missing_ok=True)
    # It may be a mount point, or a link, or not ours to remove: an empty one does no harm.
    with suppress(OSError):
        folder.rmdir()
        _sync_directory(folder.parent)


def _publish(path: Path, data: bytes) -> bool:
    try:
        return _publish_once(path, data)
    except FileNotFoundError:
        # A `delete` has just removed the directory with the last object in it: it is made again.
        return _publish_once(path, data)


def _publish_once(path: Path, data: bytes) -> bool:
    """Temporary file, fsync, name, fsync of the directory: a power cut leaves all of it or nothing."""
    _make_directories(path.parent)
    # With a leading dot, listings pass over what a killed process left behind.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_durably(temporary, data)
        created = _give_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)
    return created
