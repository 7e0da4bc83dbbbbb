"""Prepares all that the bridge needs (Java, Datomic's jars, its compiled code), and gives its command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from anyio import to_thread

from asyncrestore.datomic.build import Build, build_key, class_path, ensure_build, jvm_flags
from asyncrestore.datomic.cache import cache_dir, refuse_planted, unusable
from asyncrestore.datomic.engines import ENGINES
from asyncrestore.datomic.jars import ensure_jars
from asyncrestore.datomic.java import find_java
from asyncrestore.datomic.uri import LOCAL
from asyncrestore.errors import OPEN_FILES_HINT, SetupFailed
from asyncrestore.paths import status

if sys.platform != "win32":
    import resource

SOURCES = Path(__file__).parent / "jvm"
# With its jars and a database, the bridge to Local has 41 files open, the one to the peer 71.
OPEN_FILES = 128


async def bridge_command(engine: str = LOCAL) -> list[str]:
    """Returns the argument list that starts the bridge to an engine.

    The first call fetches jars and compiles, which takes about 45 s; later calls check them, in about 50 ms.

    Raises:
        SetupFailed: there is no usable Java, the bridge does not compile, or the cache directory is unusable
            or another user's.
        Unavailable: jars are missing and cannot be fetched, or another process holds a lock for too long.
        DamageError: a jar is not the one that the engine's lock file names, or a compiled file was altered.
    """
    cache = await to_thread.run_sync(cache_dir)
    return await command_for(SOURCES, engine, cache, ENGINES[engine].jars_variable)


async def command_for(sources: Path, engine: str, cache: Path, jars_variable: str | None = None) -> list[str]:
    """Returns the command for other sources and another cache directory; raises as `bridge_command`.

    Args:
        sources: directory of the Clojure sources and lock files.
        engine: the name of its namespace and lock file.
        cache: where jars and builds are kept.
        jars_variable: the variable that names further jars, if there is one (see `Engine`).
    """
    lock_file = sources / f"{engine}.lock"
    _check_open_files()
    java = await find_java()
    jars = await ensure_jars(lock_file, cache)
    try:
        key = await to_thread.run_sync(build_key, java, jars, lock_file, sources)
        build = Build(engine, java, jars, sources, cache / "bridge" / f"{engine}-{key}")
        await ensure_build(build, cache)
        await to_thread.run_sync(refuse_planted, cache, [*jars, *build.files()])
        archived = await to_thread.run_sync(status, build.archive)
    except OSError as exc:
        raise unusable(cache, exc) from exc
    archive = []
    if archived:
        archive = [f"{'-XX:AOTCache' if java.feature >= 25 else '-XX:SharedArchiveFile'}={build.archive}"]
    path = class_path(build.jar, *jars, *await to_thread.run_sync(_further_jars, jars_variable))
    return [java.executable, *jvm_flags(java), *archive, *path, build.main]


def _check_open_files() -> None:
    """Refuses a limit of open files with which a JVM fails at random.

    Its class loader, for one, takes a class for missing when it cannot open the jar.

    Raises:
        SetupFailed: the limit is too low.
    """
    if sys.platform == "win32":
        return
    # A JVM raises the soft limit to the hard one by itself.
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < OPEN_FILES:
        raise SetupFailed(
            f"Only {limit} files may be open at once, and Datomic needs {OPEN_FILES}: too many open files",
            hint=OPEN_FILES_HINT,
        )


def _further_jars(variable: str | None) -> list[Path]:
    """Returns the jars that the user names in a variable.

    They come last: an archive is valid for a class path that begins with the one it was made with.

    Raises:
        SetupFailed: one of them cannot be read. The JVM would pass over it.
    """
    named = os.environ.get(variable, "") if variable else ""
    jars = [Path(jar) for jar in named.split(os.pathsep) if jar]
    for jar in jars:
        # A star stands for all jars of a directory.
        if not os.access(jar.parent if jar.name == "*" else jar, os.R_OK):
            raise SetupFailed(
                f"{variable} names {jar}, which is not there or cannot be read",
                hint="Correct the path, or the owner and mode of each part of it.",
            )
    return jars
