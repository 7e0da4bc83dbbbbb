"""Runs the measured pieces of work, each in a process of its own and with a deadline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from asyncrestore.datomic.runtime import bridge_command

if TYPE_CHECKING:
    from collections.abc import Mapping

Result = dict[str, Any]

DEADLINE_S = 1800.0
CLOJURE = Path(__file__).parent / "jvm"


class BenchError(Exception):
    """A piece of work that failed; the message ends with its last output."""


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(
    what: str,
    command: list[str],
    environment: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> Result:
    """Runs a command to its end; returns the JSON object on the last line that it prints.

    Args:
        what: display name, for the progress and for errors.
        command: the arguments.
        environment: variables besides those of this process.
        deadline_s: after which it is ended, in seconds.

    Raises:
        BenchError: it failed, took longer than `deadline_s`, or printed something else.
    """
    started = monotonic()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{what}: not done after {deadline_s:g} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise BenchError(f"{what}: exit code {done.returncode}: {said}")
    try:
        result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise BenchError(f"{what}: printed no result but {done.stdout[-500:]!r}") from error
    said = f"{result['seconds']:.2f} s" if "seconds" in result else "done"
    progress(f"  {what}: {said} ({monotonic() - started:.1f} s with its start and end)")
    return result


def python(
    what: str,
    kind: str,
    environment: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
    **arguments: Any,
) -> Result:
    """Runs a kind of work of `bench.worker`, with the allocator of the command line; raises as `run`."""
    command = [sys.executable, "-m", "bench.worker", kind, json.dumps(arguments)]
    return run(what, command, {"ARROW_DEFAULT_MEMORY_POOL": "system", **(environment or {})}, deadline_s)


@dataclass(frozen=True)
class Jvm:
    """A JVM exactly as the bridge's: runtime, flags, class-data archive and class path.

    The programs come by file name: a directory in the class path would put the archive out of use.
    """

    command: list[str]
    engine: str = "local"

    @classmethod
    def like_the_bridge(cls, engine: str = "local") -> Jvm:
        """The JVM as asyncrestore starts it for an engine, compiled before if need be."""
        *command, _main = anyio.run(bridge_command, engine)
        return cls(command, engine)

    def __call__(self, what: str, program: str, *arguments: object, after: tuple[str, ...] = ()) -> Result:
        """Runs one of the Clojure programs, after loading others that it needs; raises as `run`."""
        needed = ["harness", *(["local"] if self.engine == "local" else []), *after]
        files = [part for name in needed for part in ("-i", str(CLOJURE / f"{name}.clj"))]
        program = str(CLOJURE / f"{program}.clj")
        return run(what, [*self.command, "clojure.main", *files, program, *map(str, arguments)])
