"""The user's cache directory: jars, the compiled bridge, and what is known about Java.

Everything in it can be made again, so it is safe to delete while no bridge runs.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import platformdirs
from anyio import to_thread

from asyncrestore.errors import OPEN_FILES_HINT, SetupFailed, Unavailable, has_too_many_open_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CACHE_VARIABLE = "ASYNCRESTORE_CACHE_DIR"
# Longer than another process needs to fetch all jars from a slow repository, or to compile.
LOCK_TIMEOUT_S = 600.0
_LOCK_POLL_S = 0.1


def cache_dir() -> Path:
    """Returns the absolute path of the cache directory, which need not exist.

    Raises:
        SetupFailed: there is no home directory, or Java could not use the directory.
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
    return cache


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
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


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
