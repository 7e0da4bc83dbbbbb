"""Downloads jars by the Maven client `jgo`: a program of its own, started by `jars` when some are missing.

It is a process and not a thread, because only a process can be ended at a deadline. The client's time-outs
are for each read: a server that sends a byte now and then would hold up a thread for ever, and Python's exit.

Usage: `python -m asyncrestore.datomic.fetch DIRECTORY GROUP:ARTIFACT:VERSION...`

Each jar appears in DIRECTORY when it is complete. If one fails, the exit code is 1 and the reason on stderr.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext

from asyncrestore.datomic.jars import REPOSITORY_VARIABLE

# To connect, and between two reads. Three attempts with a silent host end within 30 s.
READ_TIMEOUT_S = 8
PARALLEL = 4


def main(directory: str, *coordinates: str) -> int:
    """Downloads all coordinates, up to the first that fails. Returns the exit code."""
    target = Path(directory)
    # Not an argument, because other users of the machine could see it: it may have a password in it.
    repository = os.environ.get(REPOSITORY_VARIABLE, "")
    with tempfile.TemporaryDirectory(dir=target) as unfinished:
        context = MavenContext(
            repo_cache=Path(unfinished),
            local_repos=[],
            remote_repos={"chosen": repository.rstrip("/")} if repository else None,
            timeout=READ_TIMEOUT_S,
        )

        # One failure ends the run: with a silent host each further download would wait for its time-out.
        failed = threading.Event()

        def download(coordinate: str) -> None:
            group, artifact, version = coordinate.split(":")
            if failed.is_set():
                return
            try:
                path = context.project(group, artifact).at_version(version).artifact().resolve()
                path.replace(target / path.name)
            except Exception:
                failed.set()
                raise

        with ThreadPoolExecutor(PARALLEL) as pool:
            downloads = [pool.submit(download, coordinate) for coordinate in coordinates]
        for coordinate, outcome in zip(coordinates, downloads, strict=True):
            if error := outcome.exception():
                print(f"{coordinate}: {error}", file=sys.stderr)  # noqa: T201 - the parent reads it
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
