"""What the README shows works as it stands, and its tables say what is so elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asyncrestore.cli.app import group
from asyncrestore.datomic.database import open_connector
from asyncrestore.jobs.backup import backup
from tests.histories import PEOPLE, SCHEMA

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """The code block below the comment that gives it this name; the comment may say more behind a comma."""
    found = re.findall(
        rf"^<!-- tested: {name}(?:,[^\n]*)? -->\n```\w+\n(.*?)^```$", README, re.DOTALL | re.MULTILINE
    )
    assert len(found) == 1, name
    return str(found[0])


@pytest.fixture(scope="module")
async def prepared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Path:
    """A directory with the database that the README's examples begin with, which no process has open."""
    assert anyio_backend
    path = tmp_path_factory.mktemp("readme")
    async with open_connector() as connector:
        uri = f"datomic:local://prod/catalogue?storage-dir={path / 'datomic'}"
        source = await connector.open(uri, create=True)
        await source.transact_edn([SCHEMA, *PEOPLE])
        await backup(source, str(path / "backups"))
    return path


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the database."""
    shutil.copytree(prepared / "datomic", tmp_path / "datomic")
    return tmp_path


def run(command: list[str], place: Path) -> str:
    """Runs a program that must succeed without a warning; returns what it printed."""
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


def test_python_example(place: Path) -> None:
    printed = run([sys.executable, "-W", "error", "-c", block("python example")], place)
    assert printed == f"{1 + len(PEOPLE)} transactions identical: True\n"


def test_shell_example(place: Path) -> None:
    printed = run(["sh", "-e", "-c", block("shell example")], place)
    assert "has the same history" in printed


def test_filtering_example(prepared: Path, tmp_path: Path) -> None:
    """With the attributes of the test's database, which are in the namespace `p`."""
    shutil.copytree(prepared / "backups", tmp_path / "backups")
    example = block("filtering example").replace("person/", "p/")
    printed = run(["sh", "-e", "-c", example], tmp_path)
    assert "left out      :p/city 2\n" in printed
    assert "rewritten     :p/email 8, :p/name 6\n" in printed


def test_both_examples_name_the_same_places() -> None:
    def places(name: str) -> set[str]:
        return set(re.findall(r"datomic:local:[^'\"]+|\./backups", block(name)))

    assert places("python example") == places("shell example")


def test_every_block_says_whether_it_is_run() -> None:
    fences = re.findall(r"^(.*)\n```\w+$", README, re.MULTILINE)
    assert [line for line in fences if not re.match(r"<!-- (tested: \w|not run: )", line)] == []
    tested = {re.match(r"<!-- tested: ([\w ]+)", line) for line in fences if "tested: " in line}
    assert {found[1].strip() for found in tested if found} == {
        "python example", "shell example", "filtering example"
    }  # fmt: skip


def table(heading: str, text: str = README) -> list[list[str]]:
    """The cells of the tables under a heading, without their heads."""
    part = text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    heads = {n - 1 for n, row in enumerate(rows) if re.match(r"\|[-:|]+\|$", row)}
    return [
        [cell.strip() for cell in row.strip("|").split("|")]
        for n, row in enumerate(rows)
        if n not in heads and not re.match(r"\|[-:|]+\|$", row)
    ]


def test_the_table_of_commands_has_them_all() -> None:
    listed = {re.match(r"`([\w-]+)", cells[0]) for cells in table("Commands")}
    names = {found[1] for found in listed if found}
    assert set(group.commands) == names - {"datomic"}


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    from asyncrestore import errors

    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AsyncRestoreError)
    ]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert documented == {kind.exit_code for kind in kinds} | {0, 130}


def test_figures_are_those_of_the_page_on_benchmarks() -> None:
    full = (ROOT / "docs" / "benchmarks.md").read_text().splitlines()
    part = README.split("\n## Measured\n")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 8
    assert [row for row in rows if row not in full] == []
    assert [row for row in rows if full.count(row) > 1] == []


def test_counts_of_faults_are_sums_of_the_full_table() -> None:
    def counts(text: str, heading: str) -> list[list[int]]:
        rows = [cells for cells in table(heading, text) if len(cells) == 3]
        return [[int(cell.strip("*").replace(",", "") or 0) for cell in cells[1:]] for cells in rows]

    full = counts((ROOT / "docs" / "evidence.md").read_text(), "Faults")
    short = counts(README, "What it promises, and what shows it")
    groups = [range(4), range(4, 6), range(6, 9), [9], [10], [11]]
    assert short == [[sum(full[n][engine] for n in rows) for engine in (0, 1)] for rows in groups]


def test_points_of_kills_are_those_that_are_pinned() -> None:
    from tests.engine.test_kills import ON_DISK, ON_S3

    assert f"{sum(ON_DISK.values())} points on disk, {sum(ON_S3.values())} on S3" in README
    evidence = (ROOT / "docs" / "evidence.md").read_text()
    pinned = {
        job: (int(disk), int(s3))
        for job, disk, s3 in re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|$", evidence, re.MULTILINE)
    }
    assert pinned == {job: (ON_DISK[job], ON_S3[job]) for job in ON_DISK}


def test_files_that_the_evidence_names_exist() -> None:
    evidence = (ROOT / "docs" / "evidence.md").read_text()
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", evidence))
    assert len(files) > 20
    assert [file for file in files if not (ROOT / file).exists()] == []
