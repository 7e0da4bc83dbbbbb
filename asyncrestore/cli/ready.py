"""What `asyncrestore setup` does."""

from __future__ import annotations

from time import monotonic
from typing import Any

from anyio import to_thread

from asyncrestore.datomic.cache import cache_dir
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.jars import read_lock
from asyncrestore.datomic.java import find_java
from asyncrestore.datomic.runtime import SOURCES, bridge_command


async def make_ready() -> dict[str, Any]:
    """Fetches, checks and compiles, then starts the bridge and opens a database in it.

    Raises:
        SetupFailed, Unavailable, DamageError: as `runtime.bridge_command`.
    """
    java = await find_java()
    await bridge_command()
    started = monotonic()
    async with open_connector() as connector:
        database = await connector.open("datomic:local://setup/check?storage-dir=:mem", create=True)
        await database.basis_t()
        start_seconds = monotonic() - started
    return {
        "java": java.description,
        "java_executable": java.executable,
        "jars": len(await to_thread.run_sync(read_lock, SOURCES / "local.lock")),
        "start_seconds": round(start_seconds, 1),
        "cache": str(await to_thread.run_sync(cache_dir)),
    }
