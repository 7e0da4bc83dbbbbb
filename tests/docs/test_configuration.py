"""The variables and settings in docs/configuration.md are those that the package reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncrestore.cli.app import group
from asyncrestore.cli.encryption import ENCRYPTION_KEY
from asyncrestore.cli.filtering import REWRITE_KEY
from asyncrestore.cli.options import Settings
from asyncrestore.datomic.cache import CACHE_VARIABLE
from asyncrestore.datomic.engines import ENGINES
from asyncrestore.datomic.jars import REPOSITORY_VARIABLE
from asyncrestore.datomic.uri import ACCESS_KEY_VARIABLE, SECRET_VARIABLE

if TYPE_CHECKING:
    import click

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
[TOML] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def loaded(name: str, *arguments: str, config: Path) -> click.Context:
    """A command's context, its arguments read but the command not run."""
    parent = group.make_context("asyncrestore", ["--config", str(config), name], obj=Settings())
    return group.commands[name].make_context(name, list(arguments), parent=parent)


def test_variables_are_those_that_are_read() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \| ", PAGE.split("\n## Variables\n")[1], re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(ASYNCRESTORE_\w+)`", row)}
    explicit = {str(option.envvar) for option in group.commands["verify"].params if option.envvar}
    jars = {engine.jars_variable for engine in ENGINES.values() if engine.jars_variable}
    keys = {ACCESS_KEY_VARIABLE, SECRET_VARIABLE}
    known = {CACHE_VARIABLE, REPOSITORY_VARIABLE, REWRITE_KEY, ENCRYPTION_KEY, *jars, *keys}
    assert listed == known | explicit


def test_every_variable_in_the_sources_is_listed() -> None:
    sources = [path.read_text() for path in (ROOT / "asyncrestore").rglob("*.py")]
    used = {name for text in sources for name in re.findall(r'"(ASYNCRESTORE_[A-Z_]+[A-Z])"', text)}
    assert used
    assert {name for name in used if f"`{name}`" not in PAGE} == set()


def test_the_file_is_one_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(TOML)
    backup = loaded("backup", "a", "b", config=tmp_path / "settings.toml")
    assert (backup.params["segment_size"], backup.params["parallel"], backup.obj.quiet) == (5000, 2, True)
    for name in ("restore", "verify"):
        filtered = loaded(name, "a", *(["b"] if name == "restore" else []), config=tmp_path / "settings.toml")
        assert filtered.params["exclude"] == ("person/city", "person/notes")
        assert filtered.params["rewrite"] == {"person/email": "hash"}
        assert filtered.params.get("allow_code") == (
            ("my.app/valid?", ":my/function") if name == "restore" else None
        )


@pytest.mark.parametrize(
    ("name", "command", "parameter", "value"),
    [
        ("ASYNCRESTORE_BACKUP_SEGMENT_SIZE=5000", "backup", "segment_size", 5000),
        ("ASYNCRESTORE_BACKUP_PARALLEL=2", "backup", "parallel", 2),
        (
            "ASYNCRESTORE_RESTORE_EXCLUDE=person/city person/notes",
            "restore", "exclude", ("person/city", "person/notes"),
        ),
    ],
)  # fmt: skip
def test_options_from_the_environment(
    name: str, command: str, parameter: str, value: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variable, _, text = name.partition("=")
    assert re.search(rf'`{variable}="?{re.escape(text)}"?`', PAGE)
    monkeypatch.setenv(variable, text)
    (tmp_path / "empty.toml").touch()
    assert loaded(command, "a", "b", config=tmp_path / "empty.toml").params[parameter] == value


@pytest.mark.parametrize("switch", ["ASYNCRESTORE_QUIET", "ASYNCRESTORE_VALIDATE_STORE_DEBUG"])
def test_switches_from_the_environment(switch: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert f"`{switch}=1`" in PAGE
    (tmp_path / "empty.toml").touch()
    for text, on in (("1", True), ("0", False), ("true", True), ("false", False)):
        monkeypatch.setenv(switch, text)
        settings = loaded("validate-store", "a", config=tmp_path / "empty.toml").obj
        assert (settings.quiet, settings.debug) == (on and "QUIET" in switch, on and "DEBUG" in switch)
