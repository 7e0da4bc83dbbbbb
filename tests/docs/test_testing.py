"""What docs/testing.md shows works as it stands, and its tables have what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from asyncrestore.errors import UsageError
from asyncrestore.testing import FAULTS, POINTS, Faults

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


def test_the_example(tmp_path: Path) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    [printed] = re.findall(r"^```text\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_the_tables() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", TEXT, re.MULTILINE))
    assert {name: rows[name] for name in FAULTS} == FAULTS
    options = {name for cell in re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE) for name in cell.split(", ")}
    assert {name.strip("`") for name in options} == {field.name for field in fields(Faults)} | set(FAULTS)


@pytest.mark.parametrize(
    ("known", "arguments"),
    [
        (FAULTS, {"chances": {"gremlins": 0.5}}),
        (FAULTS, {"at": {1: "gremlins"}}),
        (POINTS, {"kill_at": ("somewhere", 1)}),
    ],
)
def test_unknown_names_are_refused_with_those_that_there_are(
    known: dict[str, str], arguments: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match=r"There is no \w+ '(gremlins|somewhere)'") as caught:
        Faults(**arguments)  # type: ignore[arg-type]  # that is the point
    assert all(name in caught.value.hint for name in known)
