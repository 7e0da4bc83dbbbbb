"""The command line, run in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.cli import main

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TARGET = "datomic:local://cli/never-made?storage-dir=/nonexistent/datomic"


class Ran:
    """A command that ran in this process: its exit code, and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        self.code = exit_.value.code
        self.out, self.err = capsys.readouterr()

    @property
    def error(self) -> dict[str, Any]:
        """The one JSON document on stderr."""
        [line] = self.err.splitlines()
        document: dict[str, Any] = json.loads(line)
        return document


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "asyncrestore", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings that a developer may have."""
    kept = ("ASYNCRESTORE_CACHE_DIR", "ASYNCRESTORE_MAVEN_REPOSITORY")
    left_out = ("ASYNCRESTORE_", "PYTHONUNBUFFERED")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(left_out) or k in kept}
    return {**plain, **more}


def run_cli(
    arguments: Sequence[str], *, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=cwd,
        env=environment(**variables),
    )


def run_shell(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a shell, as "$@" of its script."""
    return subprocess.run(
        ["sh", "-c", script, "sh", *command(*arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(**variables),
    )
