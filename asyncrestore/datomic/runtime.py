"""Prepares all that the bridge needs (Java, Datomic's jars, its compiled code), and gives its command."""

from __future__ import annotations

import os
from pathlib import Path

from anyio import to_thread

from asyncrestore.datomic.build import Build, build_key, class_path, ensure_build, jvm_flags
from asyncrestore.datomic.cache import cache_dir
from asyncrestore.datomic.jars import ensure_jars
from asyncrestore.datomic.java import find_java
from asyncrestore.datomic.uri import PEER

SOURCES = Path(__file__).parent / "jvm"
PEER_JARS_VARIABLE = "ASYNCRESTORE_PEER_JARS"


async def bridge_command(engine: str = "local") -> list[str]:
    """Returns the argument list that starts the bridge to an engine.

    The first call fetches jars and compiles, which takes about 45 s; later calls check them, in about 50 ms.

    Raises:
        SetupFailed: there is no usable Java, the bridge does not compile, or the cache directory is unusable.
        Unavailable: jars are missing and cannot be fetched, or another process holds a lock for too long.
        DamageError: a jar is not the one that the engine's lock file names.
    """
    return await command_for(SOURCES, engine, await to_thread.run_sync(cache_dir))


async def command_for(sources: Path, engine: str, cache: Path) -> list[str]:
    """Returns the command for other sources and another cache directory; raises as `bridge_command`."""
    lock_file = sources / f"{engine}.lock"
    java = await find_java()
    jars = await ensure_jars(lock_file, cache)
    key = await to_thread.run_sync(build_key, java, jars, lock_file, sources)
    build = Build(engine, java, jars, sources, cache / "bridge" / f"{engine}-{key}")
    await ensure_build(build, cache)
    archive = []
    if await to_thread.run_sync(build.archive.exists):
        archive = [f"{'-XX:AOTCache' if java.feature >= 25 else '-XX:SharedArchiveFile'}={build.archive}"]
    path = class_path(build.jar, *jars, *_further_jars(engine))
    return [java.executable, *jvm_flags(java), *archive, *path, build.main]


def _further_jars(engine: str) -> list[Path]:
    """Returns the jars that the user names: the peer does not bring the libraries of its storages.

    They come last: an archive is valid for a class path that begins with the one it was made with.
    """
    named = os.environ.get(PEER_JARS_VARIABLE, "") if engine == PEER else ""
    return [Path(jar) for jar in named.split(os.pathsep) if jar]
