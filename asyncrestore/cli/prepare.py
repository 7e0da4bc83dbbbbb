"""Prepares this machine: Java, Datomic's jars and the bridge (the work of `asyncrestore setup`)."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from asyncrestore.datomic.cache import cache_dir
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.engines import ENGINES
from asyncrestore.datomic.jars import read_lock
from asyncrestore.datomic.java import find_java
from asyncrestore.datomic.runtime import SOURCES, bridge_command

if TYPE_CHECKING:
    from collections.abc import Iterable


async def prepare_machine(engines: Iterable[str]) -> dict[str, Any]:
    """Fetches, checks and compiles for each engine, then starts its bridge, and opens a database in memory.

    Raises:
        SetupFailed: Java or the jars cannot be had, or the bridge cannot be compiled or started.
        DamageError: a jar is not what it should be.
        Unavailable: the repository of the jars, or the bridge, did not answer.
    """
    java = await find_java()
    return {
        "java": java.description,
        "java_executable": java.executable,
        "cache": str(await to_thread.run_sync(cache_dir)),
        "engines": {engine: await _prepare_engine(engine) for engine in engines},
    }


async def _prepare_engine(engine: str) -> dict[str, Any]:
    await bridge_command(engine)
    started = monotonic()
    async with open_connector() as connector:
        memory_uri = ENGINES[engine].memory_uri
        if memory_uri is None:
            await (await connector.bridge(engine)).request("release")
        else:
            database = await connector.open(memory_uri("check"), create=True)
            await database.basis_t()
        start_seconds = monotonic() - started
    jars = await to_thread.run_sync(read_lock, SOURCES / f"{engine}.lock")
    return {"jars": len(jars), "start_seconds": round(start_seconds, 1)}
