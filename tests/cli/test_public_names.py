"""All public names exist, and cheap commands import nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from types import ModuleType

import pytest

import asyncrestore


@pytest.mark.parametrize("name", asyncrestore.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert not isinstance(getattr(asyncrestore, name), ModuleType)
    assert name in dir(asyncrestore)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'restor'"):
        asyncrestore.restor  # type: ignore[attr-defined]  # noqa: B018


def test_version_and_help_load_nothing_heavy() -> None:
    program = (
        "import sys; from asyncrestore.cli.app import program\n"
        "for option in ('--version', '--help'): assert program([option]) == 0\n"
        "print([m for m in ('pyarrow', 'transit', 'rich', 'jgo', 'uvloop', 'botocore') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    assert output[0] == f"asyncrestore {version('asyncrestore')}"
    assert output[-1] == "[]"
