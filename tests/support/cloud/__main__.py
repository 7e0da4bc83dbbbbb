"""Runs the server until its stdin ends: `python -m tests.support.cloud`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import anyio
import anyio.to_thread

from tests.support.cloud.server import ACCESS_KEY, SECRET, open_server


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with open_server(Path(directory)) as server:
            lines = [
                f"cloud:        {server.uri('DB')}",
                f"peer server:  {server.uri('DB', 'peer-server')}",
                f"              access key {ACCESS_KEY}, secret {SECRET}",
                f"control:      POST http://127.0.0.1:{server.ports['control']}/COMMAND",
                f"JVM options:  {server.place.java_options()}",
                "AWS:          any access key and secret",
            ]
            print("\n".join(lines), flush=True)  # noqa: T201 - it is what this program is for
            await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    anyio.run(main)
