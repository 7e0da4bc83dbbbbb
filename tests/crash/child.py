"""A restore or backup in a process of its own that is killed at a named point.

`python -m tests.crash.child restore|backup FROM TO SEGMENT-SIZE`, with `Faults` as a JSON object in the
environment variable below. Only this program reads it.
"""

from __future__ import annotations

import json
import os
import sys

import anyio

from asyncrestore.datomic.database import open_connector
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.stores import open_store
from asyncrestore.testing import Faults, FaultyStore, faulty_database

FAULTS_VARIABLE = "ASYNCRESTORE_TEST_FAULTS"


async def main(*arguments: str) -> None:
    """Runs the command between wrappers."""
    command, source, target, segment_size = arguments
    asked = json.loads(os.environ[FAULTS_VARIABLE])
    faults = Faults(**{**asked, "kill_at": tuple(asked["kill_at"])})
    async with open_connector() as connector:
        if command == "restore":
            async with (
                open_store(source) as store,
                faulty_database(await connector.open(target, create=True), faults) as database,
            ):
                await restore(FaultyStore(store, faults), database, in_flight=64)
        else:
            async with (
                open_store(target) as store,
                faulty_database(await connector.open(source), faults) as database,
            ):
                await backup(database, FaultyStore(store, faults), segment_size=int(segment_size))


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
