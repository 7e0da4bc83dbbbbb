"""`--exclude`, `--rewrite` and `--until-...` on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest

from asyncrestore.cli.app import group
from tests.cli.conftest import TRANSACTIONS
from tests.support.cli import TARGET, Ran, run_cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

KEY = "not-to-be-seen-0123456789"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNCRESTORE_REWRITE_KEY", raising=False)


def test_filtered_restore_verify_and_info(place: Place, tmp_path: Path) -> None:
    target = place.storage.format("filtered")
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "mine.py").write_text("def other(attribute, value):\n    return value + 1000000\n")
    wanted = ["--rewrite", "item/number=hash", "--exclude", ":item/next", "--exclude-schema"]
    filed = [*wanted, "--rewrite-key-file", "key"]

    restored = run_cli(["restore", place.store, target, *filed, "--until-t", "105", "--json"], cwd=tmp_path)
    assert restored.returncode == 0, restored.stderr
    summary = json.loads(restored.stdout.splitlines()[-1])
    assert (summary["last_t"], summary["transactions"]) == (105, 100)
    excluded, rewritten = summary["filtered"]
    assert excluded == {"attribute": "item/next", "left_out": 99 + 4, "rewritten": 0}
    assert (rewritten["attribute"], rewritten["left_out"]) == ("item/number", 0)
    assert rewritten["rewritten"] >= 99

    # The same key from the environment, and now up to the end.
    completed = run_cli(["restore", place.store, target, *wanted], ASYNCRESTORE_REWRITE_KEY=KEY)
    assert completed.returncode == 0, completed.stderr
    assert f"\n  left out      :item/next {TRANSACTIONS + 1 - 100}\n" in completed.stdout
    assert "\n  rewritten     :item/number " in completed.stdout
    verified = run_cli(["verify", place.store, "--against", target, *filed], cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert "has the same history, filtered" in verified.stdout

    for options, says in (
        ([], "now it is nothing left out or rewritten"),
        (["--rewrite", "item/number=hash", "--rewrite-key-file", "key"], "now it is :item/number hash"),
    ):
        refused = run_cli(["verify", place.store, "--against", target, *options], cwd=tmp_path)
        assert refused.returncode == 13
        assert says in refused.stderr
        assert "restored with :item/next exclude with schema; :item/number hash (key " in refused.stderr
    described = run_cli(["info", target])
    assert "\n  filtered      :item/next exclude with schema; :item/number hash (key " in described.stdout
    for ran in (restored, completed, verified, refused, described):
        assert KEY not in ran.stdout + ran.stderr

    # A function is looked for in the working directory.
    arguments = ["restore", place.store, place.storage.format("by-function"), "--exclude", "item/next"]
    by_function = run_cli([*arguments, "--rewrite", "item/number=mine:other"], cwd=tmp_path)
    assert by_function.returncode == 2
    assert ":item/number is or was unique: with mine:other" in by_function.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rewrite", "item/number"], "is not ATTR=HOW"),
        (["--rewrite", "=hash"], "is not ATTR=HOW"),
        (["--rewrite", "a/b=hash", "--rewrite", "a/b=null"], "in two ways"),
        (["--until-time", "tomorrow"], "not a time as in RFC 3339"),
        (["--until-time", "2026-01-31T12:00:00"], "no time zone"),
        (["--until-t", "x"], "--until-t"),
        (["--rewrite", "item/next=hash", "--rewrite-key-file", "/nonexistent/key"], "cannot be read"),
    ],
)
def test_wrong_options(capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    for arguments in (["restore", "/nonexistent", TARGET], ["verify", "/nonexistent", "--against", TARGET]):
        ran = Ran(capsys, *arguments, *options)
        assert (ran.code, ran.out) == (2, "")
        assert says in ran.err


def test_verify_of_a_store_alone_refuses_filters(capsys: pytest.CaptureFixture[str], place: Place) -> None:
    for options in (["--exclude", "item/next"], ["--fit-target"]):
        ran = Ran(capsys, "verify", place.store, *options)
        assert ran.code == 2
        assert "--against" in ran.err


def test_options_from_a_file_and_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings.toml"
    seen: dict[str, Any] = {}

    @click.pass_context
    def show(context: click.Context, /, **_: object) -> None:
        seen.update(context.params)

    monkeypatch.setattr(group.commands["restore"], "callback", show)
    config.write_text(
        '[restore]\nexclude = ["a/b", ":c/d"]\nrewrite = ["e/f=constant:two words", "g/h=null"]\n'
        'exclude-schema = true\nrewrite-key-file = "key"\nuntil-time = "2026-01-31T12:00:00Z"\n'
    )
    assert Ran(capsys, "--config", str(config), "restore", "a", "b").code == 0
    assert (seen["exclude"], seen["exclude_schema"]) == (("a/b", ":c/d"), True)
    assert seen["rewrite"] == {"e/f": "constant:two words", "g/h": "null"}
    assert (str(seen["rewrite_key_file"]), seen["until_time"].year) == ("key", 2026)

    monkeypatch.setenv("ASYNCRESTORE_RESTORE_EXCLUDE", "x/y z/z")
    monkeypatch.setenv("ASYNCRESTORE_RESTORE_UNTIL_T", "7")
    assert Ran(capsys, "--config", str(config), "restore", "a", "b").code == 0
    assert (seen["exclude"], seen["until_t"]) == (("x/y", "z/z"), 7)
    assert Ran(capsys, "--config", str(config), "restore", "a", "b", "--exclude", "k/l").code == 0
    assert seen["exclude"] == ("k/l",)

    config.write_text('[restore]\nrewrite = "a/b=hash"\n')
    assert Ran(capsys, "--config", str(config), "restore", "a", "b").code == 2
