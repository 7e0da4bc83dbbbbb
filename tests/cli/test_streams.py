"""Unusual streams: closed before the start, unbuffered, full; and Ctrl-C before the first line."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import run_shell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(store: Path, closed: str) -> None:
    for arguments, code in ((["verify", str(store)], 0), (["verify", str(store), "--name", "none"], 10)):
        ran = run_shell(f'"$@" {closed}', *arguments)
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr


BUFFERED_OR_NOT = pytest.mark.parametrize("unbuffered", ["", "1"])


@BUFFERED_OR_NOT
def test_messages_that_cannot_be_written_change_no_exit_code(store: Path, unbuffered: str) -> None:
    for arguments, code in ((["--debug"], 0), (["--name", "none"], 10), (["--none"], 2)):
        ran = run_shell('"$@" 2>/dev/full', "verify", str(store), *arguments, PYTHONUNBUFFERED=unbuffered)
        assert ran.returncode == code


@BUFFERED_OR_NOT
def test_help_that_cannot_be_written_is_an_error(unbuffered: str) -> None:
    ran = run_shell('"$@" >/dev/full', "--help", PYTHONUNBUFFERED=unbuffered)
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert "Exception ignored" not in ran.stderr


def test_output_that_was_cut_short_is_an_error(store: Path) -> None:
    """Python's unbuffered stdout, common in containers, writes what fits and drops the rest silently."""
    rows = "SELECT repeat('x', 1000000)"
    for unbuffered in ("", "1"):
        ran = run_shell(
            'ulimit -f 1; trap "" XFSZ; "$@" >"$OUT"',
            "query", str(store), rows, "--json",
            PYTHONUNBUFFERED=unbuffered, OUT=str(store / "out"),
        )  # fmt: skip
        assert ran.returncode == 1, unbuffered
        assert "the output cannot be written: File too large" in ran.stderr


def test_ctrl_c_while_the_program_is_loaded() -> None:
    """An import sends the signal, so that it comes at that moment."""
    program = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "asyncrestore.cli.app":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from asyncrestore.cli import main
main(["--version"])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, "", "")
