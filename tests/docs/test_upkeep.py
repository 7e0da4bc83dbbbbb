"""The commands in docs/upkeep.md are ones that there are, and its job definition is JSON."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncrestore.cli.app import group
from asyncrestore.cli.options import Settings

if TYPE_CHECKING:
    import click

TEXT = (Path(__file__).parents[2] / "docs" / "upkeep.md").read_text()
DEFINITION = json.loads(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0])
KUBERNETES = re.findall(r"^ +- (asyncrestore backup .*)$", TEXT, re.MULTILINE)
SHOWN = re.findall(r"^    (asyncrestore .*)$", TEXT, re.MULTILINE)


def parsed(line: str) -> click.Context:
    """The command's arguments, read but not run."""
    for index in ("$JOB_COMPLETION_INDEX", "$AWS_BATCH_JOB_ARRAY_INDEX"):
        line = line.replace(index, "7")
    _, name, *arguments = shlex.split(line.replace("$END_T", "1000000"), comments=True)
    return group.commands[name].make_context(name, arguments, obj=Settings())


@pytest.mark.parametrize("line", SHOWN)
def test_commands(line: str) -> None:
    assert parsed(line).params


@pytest.mark.parametrize("line", [*KUBERNETES, DEFINITION["containerProperties"]["command"][2]])
def test_jobs_with_an_index(line: str) -> None:
    context = parsed(line)
    assert (context.params["shard"], context.params["end_t"]) == ((7, 8), 1_000_000)


def test_there_are_such_examples() -> None:
    assert (len(SHOWN), len(KUBERNETES)) == (6, 1)
