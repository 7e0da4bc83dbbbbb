"""What the operating system refuses: to those without privileges, and to those with too many open files."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import command, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def confined(namespaces: str, before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in its own namespaces, after a shell command in the same ones."""
    program = ["unshare", namespaces, "sh", "-c", f'{before} && exec "$@"', "sh", *command(*arguments)]
    return subprocess.run(
        program, capture_output=True, text=True, timeout=100, check=False, env=environment()
    )


def can(namespaces: str, what: str) -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", namespaces, "sh", "-c", what]
    return subprocess.run(tried, capture_output=True, check=False, timeout=10).returncode == 0


def unprivileged(program: Sequence[str]) -> list[str]:
    """Returns a program as nobody runs it: the tests may run as root, whom no mode stops."""
    return [*AS_NOBODY, *program]


_STRANGER = 4242
AS_NOBODY = ["unshare", "-U"]
nobody = pytest.mark.skipif(not can("-U", "true"), reason="nobody can become nobody here")


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a file or directory another user's; without privileges, this process another user's."""
    if os.geteuid() == 0:
        os.chown(path, _STRANGER, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: _STRANGER)


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """Gives a file or directory other permissions for as long as the context lasts."""
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def no_more_files(pid: int = 0) -> Iterator[None]:
    """A process, by default this one, can open no further file for as long as the context lasts."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    lowest_free = os.open("/proc", os.O_RDONLY)
    os.close(lowest_free)
    if pid:
        used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
        lowest_free = min(set(range(len(used) + 1)) - used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
