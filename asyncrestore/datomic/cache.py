"""The user's cache directory: jars, the compiled bridge, and what is known about Java.

Everything in it can be made again, so it is safe to delete while no bridge runs.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import platformdirs
from anyio import to_thread

from asyncrestore.errors import OPEN_FILES_HINT, SetupFailed, Unavailable, has_too_many_open_files
from asyncrestore.paths import status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

CACHE_VARIABLE = "ASYNCRESTORE_CACHE_DIR"
# Longer than another process needs to fetch all jars from a slow repository, or to compile.
LOCK_TIMEOUT_S = 600.0
_LOCK_POLL_S = 0.1
_OTHERS, _GROUP_OR_OTHERS = 0o002, 0o022
_NO_USER = 65534  # Linux's overflow id: an owner that has no id in this user namespace


def cache_dir() -> Path:
    """Returns the absolute path, without links, of the cache directory, which is made if it is not there.

    Raises:
        SetupFailed: there is no home directory, Java could not use the directory, or another user could
            change it: programs are run from it.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        cache = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("asyncrestore")
        cache = cache.absolute()
    except (RuntimeError, FileNotFoundError) as exc:
        raise SetupFailed(
            f"There is no place for the cache directory: {exc}",
            hint=f"Set {CACHE_VARIABLE} to the absolute path of a directory.",
        ) from exc
    if os.pathsep in str(cache):
        raise SetupFailed(
            f"The cache directory {cache} has {os.pathsep!r} in its name, which a class path cannot have",
            hint=f"Set {CACHE_VARIABLE} to another directory.",
        )
    try:
        _make_private(cache)
        cache = cache.resolve(strict=True)
        for path in (cache, *cache.parents):
            _refuse_others(cache, path, _GROUP_OR_OTHERS if path == cache else _OTHERS)
    except OSError as exc:
        raise unusable(cache, exc) from exc
    return cache


def refuse_planted(cache: Path, files: Iterable[Path]) -> None:
    """Refuses files of the cache directory that another user could have put there. Blocks.

    They may be older than the mode of the cache directory, so each is looked at, and each directory between.

    Raises:
        SetupFailed: one of them belongs to another user, or can be written by all.
        OSError: one of them cannot be looked at.
    """
    # Where nobody else may enter the cache directory, modes in it mean nothing.
    writers = _OTHERS if cache.stat().st_mode & 0o077 else 0
    below = (each for file in files for each in (file, *file.parents) if cache in each.parents)
    for path in dict.fromkeys(below):
        with suppress(FileNotFoundError):
            _refuse_others(cache, path, writers)


def _make_private(directory: Path) -> None:
    """Makes a directory, and its parents where they are missing, for this user alone."""
    if status(directory) is None:
        _make_private(directory.parent)
        directory.mkdir(0o700, exist_ok=True)


def _refuse_others(cache: Path, path: Path, writers: int) -> None:
    if sys.platform == "win32":
        return  # a user's directories are private there by inheritance
    there, above = path.lstat(), path in cache.parents
    own = there.st_uid in {0, os.geteuid()} or (above and there.st_uid == _NO_USER)
    sticky = above and there.st_mode & stat.S_ISVTX
    if own and (not there.st_mode & writers or sticky or stat.S_ISLNK(there.st_mode)):
        return
    why = f"may be written by others (mode {stat.S_IMODE(there.st_mode):o})"
    raise SetupFailed(
        f"The cache directory {cache} is not safe to run programs from: {path} "
        + (why if own else f"belongs to another user (uid {there.st_uid})"),
        hint=f"Set {CACHE_VARIABLE} to a directory that only you can write to, as `mkdir -m 700` makes one. "
        f"Or delete {cache} (all in it is made again), correct owner and mode, and run this again.",
    )


def unusable(cache: Path, error: OSError) -> SetupFailed:
    """Returns the error for a cache directory that cannot be written or read."""
    hint = f"Make it writable, with 200 MB free, or set {CACHE_VARIABLE} to another directory."
    return SetupFailed(
        f"The cache directory {cache} cannot be used: {error}",
        hint=OPEN_FILES_HINT if has_too_many_open_files(error) else hint,
    )


@asynccontextmanager
async def locked(cache: Path, name: str, *, timeout_s: float = LOCK_TIMEOUT_S) -> AsyncIterator[None]:
    """Holds the lock `name` of a cache directory, against all other processes.

    The lock is the operating system's, on an open file: it ends with the process, however that ends. It is
    polled, because no system call that waits for a file lock can be cancelled.

    Raises:
        SetupFailed: the cache directory cannot be written, or its file system has no locks.
        Unavailable: another process still holds the lock after `timeout_s` seconds.
    """
    path = cache / f"{name}.lock"
    try:
        handle = await to_thread.run_sync(_open, path)
    except OSError as exc:
        raise unusable(cache, exc) from exc
    try:
        try:
            with anyio.move_on_after(timeout_s) as scope:
                while not _try_lock(handle):  # noqa: ASYNC110 - the holder is another process
                    await anyio.sleep(_LOCK_POLL_S)
        except OSError as exc:
            raise unusable(cache, exc) from exc
        if scope.cancelled_caught:
            raise Unavailable(
                f"Another process has held {path} for more than {timeout_s:g} s",
                hint="It fetches jars or compiles the bridge. Wait for it, or end it, then run this again.",
            )
        yield
    finally:
        os.close(handle)


@asynccontextmanager
async def scratch(directory: Path, prefix: str) -> AsyncIterator[Path]:
    """Makes a working directory, which is deleted with the context.

    Deletes those that killed processes left behind first, so the caller must hold the lock for such work.
    """

    def clear() -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for left in directory.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)

    await to_thread.run_sync(clear)
    async with anyio.TemporaryDirectory[str](dir=str(directory), prefix=prefix) as temporary:
        yield Path(temporary)


def publish(source: Path, target: Path) -> None:
    """Gives a finished file or directory its final name, in one step that survives a power cut.

    The files in a directory are written to disk first.
    """
    for file in source.iterdir() if source.is_dir() else [source]:
        _sync(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    if sys.platform != "win32":  # where directories and read-only handles cannot be synced
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
