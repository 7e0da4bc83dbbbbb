"""The commands, options and variables in docs/encryption.md are those that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from asyncrestore.cli.app import group
from asyncrestore.cli.encryption import ENCRYPTION_KEY

TEXT = (Path(__file__).parents[2] / "docs" / "encryption.md").read_text()
SHOWN = re.findall(r"^    (asyncrestore .*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("line", SHOWN)
def test_commands(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    assert group.commands[name].make_context(name, arguments).params["encryption_key_file"] == Path("key")


def test_every_command_on_segments_takes_a_key() -> None:
    options = set(re.findall(r"`(--encryption-[a-z-]+) ", TEXT))
    assert len(options) == 3
    for name in ("backup", "restore", "verify", "info", "query", "repair", "compact", "copy", "delete"):
        of_command = {option for each in group.commands[name].params for option in each.opts}
        assert options <= of_command, name


def test_variables() -> None:
    named = set(re.findall(r"`(ASYNCRESTORE_[A-Z_]+)`", TEXT))
    known = {str(each.envvar) for each in group.commands["verify"].params if each.envvar}
    assert named == known | {ENCRYPTION_KEY}
