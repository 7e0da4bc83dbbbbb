"""The commands in docs/upkeep.md and docs/excision.md exist; its jobs are as the two clouds take them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from asyncrestore.cli.app import group
from asyncrestore.cli.options import Settings

if TYPE_CHECKING:
    import click

TEXT = (Path(__file__).parents[2] / "docs" / "upkeep.md").read_text()
DEFINITION = json.loads(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0])
JOB = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[0])
(CONTAINER,) = JOB["spec"]["template"]["spec"]["containers"]
KUBERNETES = CONTAINER["args"]
EXCISION = (Path(__file__).parents[2] / "docs" / "excision.md").read_text()
SHOWN = re.findall(r"^    (asyncrestore .*)$", TEXT + EXCISION, re.MULTILINE)


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


def test_an_indexed_job() -> None:
    """What Kubernetes asks of one: as many indexes as shards, and pods that are not restarted by the node."""
    assert (JOB["apiVersion"], JOB["kind"]) == ("batch/v1", "Job")
    spec = JOB["spec"]
    assert (spec["completionMode"], spec["completions"]) == ("Indexed", 8)
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "which backoffLimitPerIndex asks for"
    assert CONTAINER["command"] == ["sh", "-c"]
    assert {each["name"] for each in CONTAINER["env"]} == {"SOURCE", "STORE", "END_T"}


def test_an_array_job() -> None:
    """What AWS Batch asks of a job definition of one container."""
    assert DEFINITION["type"] == "container"
    properties = DEFINITION["containerProperties"]
    assert properties["command"][:2] == ["sh", "-c"]
    assert {each["type"] for each in properties["resourceRequirements"]} == {"VCPU", "MEMORY"}
    assert {each["name"] for each in properties["environment"]} == {"SOURCE", "STORE", "END_T"}
    assert "--array-properties size=8" in TEXT


def test_there_are_such_examples() -> None:
    assert (len(SHOWN), len(KUBERNETES)) == (11, 1)
