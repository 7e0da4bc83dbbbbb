"""Compiles the bridge and makes its class-data archive, once, into the cache directory.

Loading Datomic and the bridge from source takes many seconds at each start. Compiled classes in a jar, and
an archive of them that the JVM maps into memory, bring that down to about two. The archive is valid only for
exactly this runtime and these jars, so a build's directory is named by a hash of all that went into it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from asyncrestore.datomic.cache import locked, publish, scratch
from asyncrestore.datomic.java import jvm_environment
from asyncrestore.datomic.made import RECORD, is_known, remember
from asyncrestore.errors import SetupFailed
from asyncrestore.paths import status

if TYPE_CHECKING:
    from asyncrestore.datomic.java import Java

COMPILE_TIMEOUT_S = 300.0
ARCHIVE_TIMEOUT_S = 180.0
# The engine loads much of its code only when a client is made. So the compiler stays on, in all threads,
# while the bridge's warm-up runs: whatever that loads from source is compiled too.
_COMPILE = """
(alter-var-root #'*compile-files* (constantly true))
(compile '{namespace})
(#'{namespace}/warm-up)
(System/exit 0)
"""
# Clojure prefers a source file that is newer than its class. Sources in other jars must never win.
_JAR_TIME = (2100, 1, 1, 0, 0, 0)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Build:
    """The inputs of a build, and its place.

    Attributes:
        engine: the database engine that the bridge speaks to.
        java: the runtime that compiles and runs it.
        jars: the engine's jars.
        sources: directory of the Clojure sources.
        directory: where the result is published; its name is the build's key.
    """

    engine: str
    java: Java
    jars: list[Path]
    sources: Path
    directory: Path

    @property
    def main(self) -> str:
        """The class that starts the bridge: its namespace, with underscores for hyphens."""
        return f"asyncrestore.{self.engine.replace('-', '_')}"

    @property
    def jar(self) -> Path:
        """The compiled bridge."""
        return self.directory / "bridge.jar"

    @property
    def archive(self) -> Path:
        """The class-data archive; does not exist if it could not be made."""
        return self.directory / ("bridge.aot" if self.java.feature >= 25 else "bridge.jsa")

    @property
    def no_archive(self) -> Path:
        """A file that says why there is no archive."""
        return self.directory / "no-archive.txt"

    def files(self) -> list[Path]:
        """Returns all that it may consist of."""
        return [self.jar, self.archive, self.no_archive, self.directory / RECORD]


def jvm_flags(java: Java) -> list[str]:
    """Returns the flags of every JVM that this package starts. An archive is valid with the same flags only.

    The JVM's own messages go to stderr: stdout belongs to the bridge's protocol.
    """
    flags = [
        "-Xlog:disable",
        "-Xlog:all=warning:stderr",
        "-XX:+DisplayVMOutputToStderr",
        # A thread that died of it would leave its request without an answer; the end of a process is noticed.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        # Nothing here waits for a pause, and G1's barriers cost time: a cold restore of 10,057 small
        # transactions took 5.6 to 6.4 s with this collector, 7.5 to 9.0 s with G1 (3 runs each, 2 cores).
        # A young generation that does not grow keeps to memory touched before: the third restore in a JVM
        # took 3.1 s, against 6.4 s (one run each).
        "-XX:+UseParallelGC",
        "-Xmn192m",
        # By default methods of up to 2,500 bytes of machine code are compiled into each of their callers.
        # With 500 the compiler took 1.6 s of processor time in a cold restore, not 3.0 s, for code as fast:
        # 3.5 s in all against 4.1 s, and 1.9 s both in the third restore of a JVM (means of 4 runs each).
        "-XX:InlineSmallCode=500",
    ]
    if java.feature >= 23:
        flags.append("--sun-misc-unsafe-memory-access=allow")
    return flags


def class_path(*entries: Path) -> list[str]:
    """Returns the arguments that set a class path."""
    return ["-cp", os.pathsep.join(map(str, entries))]


def build_key(java: Java, jars: list[Path], lock_file: Path, sources: Path) -> str:
    """Returns a hash of all that a build is made of. Blocks: it reads the sources."""
    digest = hashlib.sha256()
    for part in (
        RECORD,
        _COMPILE,
        java.executable,
        java.description,
        *jvm_flags(java),
        lock_file.read_text("utf-8"),
    ):
        digest.update(part.encode() + b"\0")
    for jar in jars:
        # The JVM rejects an archive if the modification time of a jar on the class path has changed.
        digest.update(f"{jar} {jar.stat().st_mtime_ns}\0".encode())
    for file in _files(sources, ".clj"):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(sources).as_posix()} {len(content)}\0".encode() + content)
    return digest.hexdigest()[:20]


def _files(directory: Path, suffix: str) -> list[Path]:
    """Returns the files below a directory, sorted. `Path.rglob` passes over what it cannot list."""

    def refuse(error: OSError) -> None:
        raise error

    folders = os.walk(directory, onerror=refuse)
    return sorted(Path(at, name) for at, _, names in folders for name in names if name.endswith(suffix))


async def ensure_build(build: Build, cache: Path) -> None:
    """Compiles the bridge and makes its archive, unless that was done before.

    The bridge also works without an archive, but starts more slowly: that is logged as a warning.

    Raises:
        SetupFailed: the sources do not compile, or the cache directory cannot be locked.
        DamageError: a file of the build is not the one that was made.
        Unavailable: another process holds the lock for too long.
        OSError: the cache directory cannot be used.
    """
    if await to_thread.run_sync(_done, build):
        return
    async with locked(cache, "bridge"):
        if not await to_thread.run_sync(is_known, build.jar):
            await _compile(build)
        if not await to_thread.run_sync(_done, build):
            await _make_archive(build)


def _done(build: Build) -> bool:
    return is_known(build.jar) and (is_known(build.archive) or status(build.no_archive) is not None)


async def _compile(build: Build) -> None:
    logger.info("compiling the bridge for %s (once; about 15 s)", build.java.description)
    async with scratch(build.directory.parent, ".compile-") as directory:
        classes, result = directory / "classes", directory / "result"
        await to_thread.run_sync(classes.mkdir)
        await to_thread.run_sync(result.mkdir)
        failure = await _run(
            [
                build.java.executable,
                *jvm_flags(build.java),
                f"-Dclojure.compile.path={classes}",
                *class_path(build.sources, classes, *build.jars),
                *("clojure.main", "-e", _COMPILE.format(namespace=f"asyncrestore.{build.engine}")),
            ],
            COMPILE_TIMEOUT_S,
        )
        if failure:
            raise SetupFailed(
                f"The bridge does not compile with {build.java.description}: {failure}",
                hint=f"If the file system of {build.directory.parent} is full, make room there (200 MB). "
                "Otherwise install asyncrestore again, or set JAVA_HOME to another Java.",
            )
        await to_thread.run_sync(_make_jar, classes, result / build.jar.name)
        await to_thread.run_sync(remember, result / build.jar.name)
        # A directory without the jar is not a build.
        await to_thread.run_sync(lambda: shutil.rmtree(build.directory, ignore_errors=True))
        await to_thread.run_sync(publish, result, build.directory)


def _make_jar(classes: Path, jar: Path) -> None:
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files(classes, ".class"):
            entry = zipfile.ZipInfo(file.relative_to(classes).as_posix(), _JAR_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


async def _make_archive(build: Build) -> None:
    """Makes the class-data archive by a training run; if that fails, writes the reason beside the jar."""
    feature = build.java.feature
    unfinished = build.archive.with_name(f"unfinished-{build.archive.name}")
    option = "-XX:AOTCacheOutput" if feature >= 25 else "-XX:ArchiveClassesAtExit"
    if feature < 13:
        failure = f"Java {feature} cannot archive the classes of an application; 13 and newer can"
    else:
        command = [build.java.executable, *jvm_flags(build.java), f"{option}={unfinished}"]
        command += [*class_path(build.jar, *build.jars), build.main, "warm-up"]
        failure = await _run(command, ARCHIVE_TIMEOUT_S)
        if not failure and await to_thread.run_sync(status, unfinished) is None:
            failure = "the JVM wrote no archive (it may lack its own base archive)"
    if failure:
        logger.warning(
            "the bridge will start more slowly, without a class-data archive, until %s is deleted: %s",
            build.no_archive,
            failure,
        )
        await to_thread.run_sync(_give_up_archive, build, unfinished, failure)
    else:
        await to_thread.run_sync(publish, unfinished, build.archive)
        await to_thread.run_sync(remember, build.archive)


def _give_up_archive(build: Build, unfinished: Path, failure: str) -> None:
    unfinished.unlink(missing_ok=True)
    build.no_archive.write_text(f"{failure}\nDelete this file to try again.\n", "utf-8")


async def _run(command: list[str], timeout_s: float) -> str:
    """Runs a JVM to its end. Returns the end of its output if it failed, otherwise an empty string."""
    try:
        with anyio.fail_after(timeout_s):
            result = await anyio.run_process(
                command, stdin=subprocess.DEVNULL, check=False, env=jvm_environment()
            )
    except TimeoutError:
        return f"not done after {timeout_s:g} s"
    if result.returncode == 0:
        return ""
    said = (result.stderr or result.stdout).decode(errors="replace").strip()
    return f"exit code {result.returncode}: {said[-1000:] or 'no output'}"
