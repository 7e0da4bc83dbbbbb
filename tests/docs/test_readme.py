"""What the README shows works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asyncrestore.datomic.database import open_connector
from tests.histories import PEOPLE, SCHEMA

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
async def place(tmp_path: Path) -> Path:
    """A directory with the database that the README's examples begin with."""
    path = tmp_path
    async with open_connector() as connector:
        uri = f"datomic:local://prod/catalogue?storage-dir={path / 'datomic'}"
        await (await connector.open(uri, create=True)).transact_edn([SCHEMA, *PEOPLE])
    return path


def run(command: list[str], place: Path) -> str:
    """Runs a program that must succeed without a warning; answers what it printed."""
    bin_directory = str(Path(sys.executable).parent)
    done = subprocess.run(
        command,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PATH": bin_directory + os.pathsep + os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.anyio
async def test_python_example(place: Path) -> None:
    (example,) = blocks("python")
    printed = run([sys.executable, "-W", "error", "-c", example], place)
    assert printed == f"{1 + len(PEOPLE)} transactions identical: True\n"


@pytest.mark.anyio
async def test_shell_example(place: Path) -> None:
    (example,) = blocks("sh")
    printed = run(["sh", "-e", "-c", example], place)
    assert "has the same history" in printed


@pytest.mark.anyio
async def test_filtering_example(place: Path) -> None:
    (example,) = blocks("shell")
    (setup,) = blocks("sh")
    backup_command = setup.splitlines()[0]
    (place / "key").write_text("0123456789abcdef")
    printed = run(["sh", "-e", "-c", f"{backup_command}\n{example.replace('person/', 'p/')}"], place)
    assert "left out      :p/city 2\n" in printed
    assert "rewritten     :p/email 8, :p/name 6\n" in printed


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    from asyncrestore import errors

    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AsyncRestoreError)
    ]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert documented == {kind.exit_code for kind in kinds} | {0, 130}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
