"""Datomic's jars: a lock file lists them, the cache directory holds them, and missing ones are fetched."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from asyncrestore.datomic.cache import CACHE_VARIABLE, locked, publish, scratch, unusable
from asyncrestore.errors import DamageError, Unavailable
from asyncrestore.paths import status
from asyncrestore.patience import Backoff
from asyncrestore.redact import redacted

REPOSITORY_VARIABLE = "ASYNCRESTORE_MAVEN_REPOSITORY"
# For all jars of an engine together (11 and 28 MB): a slow line may take minutes, a stuck download ends here.
FETCH_TIMEOUT_S = 300.0
ATTEMPTS = 3
FIRST_PAUSE_S = 1.0


@dataclass(frozen=True)
class Jar:
    """One line of a lock file.

    Attributes:
        coordinate: `group:artifact:version`.
        sha256: of the file, as 64 hexadecimal digits.
    """

    coordinate: str
    sha256: str

    @property
    def path(self) -> Path:
        """The jar's path, relative to a Maven repository or to `jars` in the cache."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def read_lock(lock_file: Path) -> list[Jar]:
    """Reads a lock file. Each line is `group:artifact:version sha256`, or a comment that begins with `#`.

    Raises:
        DamageError: a line does not have that form.
    """
    jars = []
    for number, line in enumerate(lock_file.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        coordinate, _, digest = line.partition(" ")
        if coordinate.count(":") != 2 or len(digest) != 64:
            raise DamageError(
                f"{lock_file}, line {number}: not `group:artifact:version sha256`: {line!r}",
                hint="Install asyncrestore again.",
            )
        jars.append(Jar(coordinate, digest))
    return jars


async def ensure_jars(lock_file: Path, cache: Path) -> list[Path]:
    """Returns the paths of all jars of a lock file, each checked, after fetching those that are missing.

    Raises:
        DamageError: a jar in the cache, or one just downloaded, is not the one that the lock file names.
        Unavailable: jars are missing and cannot be fetched, or another process holds the lock for too long.
        SetupFailed: the cache directory cannot be used.
    """
    jars = await to_thread.run_sync(read_lock, lock_file)
    directory = cache / "jars"
    if await to_thread.run_sync(_missing, jars, directory):
        async with locked(cache, "jars"):
            # Another process may have fetched them while this one waited for the lock.
            await _fetch(jars, cache)
    return [directory / jar.path for jar in jars]


def _missing(jars: list[Jar], directory: Path) -> list[Jar]:
    """Checks the jars that are there, and returns those that are not.

    Raises:
        DamageError: a jar's hash is not the one in the lock file.
        SetupFailed: a jar cannot be read.
    """
    missing = []
    for jar in jars:
        path = directory / jar.path
        try:
            actual = _sha256(path)
        except FileNotFoundError:
            missing.append(jar)
            continue
        except OSError as exc:
            raise unusable(directory, exc) from exc
        if actual != jar.sha256:
            raise DamageError(
                f"{path} is damaged or was altered: SHA-256 {actual}, expected {jar.sha256}",
                hint="Delete that file and run this again to fetch it anew.",
            )
    return missing


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _fetch(jars: list[Jar], cache: Path) -> None:
    """Fetches missing jars; tries again when the repository fails. The caller holds the lock."""
    directory = cache / "jars"
    reason = ""
    try:
        with anyio.move_on_after(FETCH_TIMEOUT_S) as scope:
            async with scratch(cache, ".fetch-") as temporary:
                backoff = Backoff(FIRST_PAUSE_S)
                for attempt in range(ATTEMPTS):
                    await anyio.sleep(backoff.pause_s() if attempt else 0)
                    missing = await to_thread.run_sync(_missing, jars, directory)
                    if not missing:
                        return
                    reason = await _download(missing, temporary)
                    await to_thread.run_sync(_keep, missing, temporary, directory)
        if scope.cancelled_caught:
            reason = f"not done after {FETCH_TIMEOUT_S:g} s"
        missing = await to_thread.run_sync(_missing, jars, directory)
    except OSError as exc:
        raise unusable(cache, exc) from exc
    if missing:
        raise _cannot_fetch(missing, jars, cache, reason)


async def _download(jars: list[Jar], directory: Path) -> str:
    """Downloads jars into `directory`. Returns why some are missing, or an empty string."""
    coordinates = [jar.coordinate for jar in jars]
    # -P: nothing is imported from the working directory.
    command = [sys.executable, "-P", "-m", "asyncrestore.datomic.fetch", str(directory), *coordinates]
    result = await anyio.run_process(command, stdin=subprocess.DEVNULL, check=False)
    if result.returncode == 0:
        return ""
    # A repository's URL may have a user and a password in it.
    said = redacted(result.stderr.decode(errors="replace"))
    lines = said.strip().splitlines()
    return lines[-1] if lines else f"the download ended with exit code {result.returncode}"


def _keep(jars: list[Jar], temporary: Path, directory: Path) -> None:
    """Moves each downloaded jar into the cache, if its hash is right.

    Raises:
        DamageError: the repository served another file.
    """
    for jar in jars:
        source = temporary / jar.path.name
        if status(source) is None:
            continue
        actual = _sha256(source)
        if actual != jar.sha256:
            raise DamageError(
                f"{jar.coordinate}: the repository served another file:"
                f" SHA-256 {actual}, expected {jar.sha256}",
                hint=f"It was not kept. Set {REPOSITORY_VARIABLE} to the URL of a repository"
                " that has the original.",
            )
        publish(source, directory / jar.path)


def _cannot_fetch(missing: list[Jar], jars: list[Jar], cache: Path, reason: str) -> Unavailable:
    names = "".join(f"\n  {jar.coordinate}" for jar in missing)
    return Unavailable(
        f"{len(missing)} of {len(jars)} jars are not in {cache / 'jars'} and cannot be fetched"
        f" ({reason}):{names}",
        hint="With a network, run `asyncrestore setup` with the engine's name (local, peer, cloud or"
        " peer-server). Without one, run it on a machine that has one and"
        f" copy its cache directory to {cache} (or to where {CACHE_VARIABLE} points), or set"
        f" {REPOSITORY_VARIABLE} to the URL of a Maven repository that this machine reaches.",
    )
