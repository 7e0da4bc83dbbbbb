"""Options, settings and wrong requests, without a database."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

import asyncrestore
from asyncrestore.cli.app import group
from asyncrestore.cli.failures import report_failure
from asyncrestore.cli.options import Settings
from asyncrestore.cli.output import Output
from asyncrestore.errors import Conflict, Overtaken, TransactionRejected, UsageError
from tests.support.cli import TARGET, Ran, command, environment

if TYPE_CHECKING:
    from tests.cli.conftest import Place


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in ("JSON", "DEBUG", "QUIET", "NO_PROGRESS", "CONFIG"):
        monkeypatch.delenv(f"ASYNCRESTORE_{option}", raising=False)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["restore", "mysql://x/y", TARGET], 2, "mysql://x/y"),
        (["backup", "datomic:cloud://x/y", "/nonexistent/store"], 2, "does not name its region"),
        (["backup", "/some/where", "/nonexistent/store"], 2, "not a Datomic URI"),
        (
            ["backup", "datomic:local://x?storage-dir=/nonexistent", "/nonexistent/store"],
            2,
            "name a database",
        ),
        (["backup", TARGET, "memory:"], 2, "ends with this process"),
        (["backup", TARGET, "/nonexistent/store", "--parallel", "0"], 2, "--parallel"),
        (["backup", TARGET, "/nonexistent/store", "--segments", "0"], 2, "--segments"),
        (
            ["backup", TARGET, "/nonexistent/store", "--start-t", "7", "--end-t", "7"],
            2,
            "7 is not greater than 7",
        ),
        (["restore", "/nonexistent/store", TARGET, "--segments", "0"], 2, "--segments"),
        (["restore", "/nonexistent/store", TARGET, "--spot-check", "1.5"], 2, "--spot-check"),
        (["restore", "/nonexistent/store", TARGET, "--id-cache-size", "-1"], 2, "--id-cache-size"),
        (["restore", "/nonexistent/store", TARGET, "--in-flight", "0"], 2, "--in-flight"),
        (["restore", "/nonexistent/store", TARGET, "--in-flight", "-1"], 2, "--in-flight"),
        (["restore", "/nonexistent/store", TARGET, "--in-flight", "1000000000"], 2, "--in-flight"),
        (["restore", "/nonexistent/store", TARGET, "--in-flight", "many"], 2, "--in-flight"),
        (["restore", "/nonexistent/store", TARGET, "--prefetch-mib", "0"], 2, "--prefetch-mib"),
        (["restore", "/nonexistent/store", TARGET, "--prefetch-mib", "1e15"], 2, "--prefetch-mib"),
        (["backup", TARGET, "/nonexistent/store", "--segment-size", "0"], 2, "--segment-size"),
        (["verify", TARGET], 2, "--against"),
        (["verify", "/nonexistent", "--max-differences", "0"], 2, "--max-differences"),
        (["restore", "/nonexistent/store", TARGET], 10, "/nonexistent/store does not exist"),
        (["verify", "/nonexistent/store"], 10, "/nonexistent/store does not exist"),
        (["info", "/nonexistent/store"], 10, "/nonexistent/store does not exist"),
        (["restore"], 2, "Missing argument"),
        (["restore", "a", "b", "--bogus"], 2, "--bogus"),
        (["bogus"], 2, "bogus"),
        ([], 2, "no command was given"),
    ],
)
def test_wrong_requests(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    ran = Ran(capsys, *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert says in ran.err
    assert "Traceback" not in ran.err
    if not arguments:
        return
    ran = Ran(capsys, *arguments, "--json")
    assert (ran.code, ran.out) == (code, "")
    assert (ran.error["message_type"], ran.error["code"]) == ("exit_error", code)
    assert says in ran.error["message"] + ran.error["hint"]


def test_stores_without_the_backup(capsys: pytest.CaptureFixture[str], tmp_path: Path, place: Place) -> None:
    for arguments in (["restore", str(tmp_path), TARGET], ["verify", str(tmp_path)]):
        ran = Ran(capsys, *arguments)
        assert ran.code == 10
        assert f"{tmp_path} holds no backup" in ran.err
    for arguments in (["restore", place.several, TARGET], ["verify", place.several]):
        ran = Ran(capsys, *arguments)
        assert ran.code == 2
        assert "several backups: a, b" in ran.err
        assert "--name" in ran.err
    for arguments in (["restore", place.several, TARGET], ["verify", place.several], ["info", place.several]):
        ran = Ran(capsys, *arguments, "--name", "c")
        assert ran.code == 10
        assert "'c'" in ran.err


def test_verify_and_info_of_a_store(capsys: pytest.CaptureFixture[str], place: Place, tmp_path: Path) -> None:
    ran = Ran(capsys, "verify", place.store)
    assert (ran.code, ran.err) == (0, "")
    assert "is whole" in ran.out
    ran = Ran(capsys, "--json", "info", place.store)
    [backup] = json.loads(ran.out)["backups"]
    assert (backup["name"], backup["gaps"], backup["problem"]) == ("items", [], "")
    assert backup["covered"] == [{"start": 0, "end": backup["end"]}]
    assert backup["segments"] > 10
    assert backup["first_instant"] <= backup["last_instant"]

    # A gap, a damaged newest segment, and a file that is not a segment.
    damaged = tmp_path / "damaged"
    shutil.copytree(place.store, damaged)
    segments = sorted((damaged / "items").glob("*.parquet"))
    segments[3].unlink()
    segments[-1].write_bytes(segments[-1].read_bytes()[:-9])
    (damaged / "items" / "notes.txt").write_text("mine")
    ran = Ran(capsys, "info", str(damaged))
    assert ran.code == 4
    assert "MISSING       t 60 to 79" in ran.out
    assert "foreign files notes.txt" in ran.out
    assert segments[-1].name in ran.err
    ran = Ran(capsys, "verify", str(damaged), "--json", "--max-differences", "1")
    assert ran.code == 4
    summary = json.loads(ran.out.splitlines()[-1])
    assert (summary["message_type"], summary["ok"]) == ("summary", False)
    assert (summary["problem_count"], summary["problems"]) == (
        2,
        ["no segment holds t 60 to 79 (the middle)"],
    )
    assert ran.error["code"] == 4
    ran = Ran(capsys, "verify", str(damaged))
    assert ran.code == 4
    assert ran.out.count("  - ") == 2


def test_settings_from_a_file_and_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings.toml"
    seen: dict[str, Any] = {}

    @click.pass_context
    def show(context: click.Context, /, **_: object) -> None:
        seen.update(context.params, json=context.obj.json)

    monkeypatch.setattr(group.commands["backup"], "callback", show)
    config.write_text('json = true\n[backup]\nsegment-size = 7\nparallel = 5\nname = "n"\n')
    assert Ran(capsys, "--config", str(config), "backup", "a", "b", "--parallel", "2").code == 0
    assert (seen["segment_size"], seen["parallel"], seen["name"], seen["json"]) == (7, 2, "n", True)

    monkeypatch.setenv("ASYNCRESTORE_CONFIG", str(config))
    monkeypatch.setenv("ASYNCRESTORE_BACKUP_SEGMENT_SIZE", "9")
    assert Ran(capsys, "backup", "a", "b").code == 0
    assert (seen["segment_size"], seen["parallel"]) == (9, 5)

    for text, says in (
        ("colour = true", "unknown setting colour"),
        ("[backup]\npieces = 1", "[backup]: unknown setting pieces"),
        ("backup = 1", "backup must be a table"),
        ("[restor]\nname = 'x'", "unknown setting restor"),
        ("not toml", "settings.toml"),
        ("[backup]\nparallel = 'many'", "'many'"),
        ("[backup]\nparallel = [2]", "[backup]: parallel must be one value"),
        ("[restore]\nallow-code = 'all'", "[restore]: allow-code must be a list: allow-code = [...]"),
    ):
        config.write_text(text)
        ran = Ran(capsys, "backup", "a", "b")
        assert ran.code == 2, ran.err
        assert says in ran.err
    config.unlink()
    assert Ran(capsys, "backup", "a", "b").code == 2


def test_arguments_are_spelled_as_options(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Settings())
    hint = "Leave it out: `exclude=p/name` `exclude_schema`, or give `KmsKey`; `p` stays."
    report_failure(UsageError("`end_t` is wrong", hint=hint), output, debug=False)
    assert capsys.readouterr().err == (
        "error: --end-t is wrong\n"
        "hint: Leave it out: --exclude p/name --exclude-schema, or give --encryption-kms-key; `p` stays.\n"
    )


def test_every_option_in_a_hint_is_an_argument() -> None:
    """A program that uses the library has no options."""
    package = Path(asyncrestore.__file__).parent
    options = re.compile(r"[\"' (]--[a-z]+-?[a-z]*")
    for file in package.rglob("*.py"):
        if file.relative_to(package).parts[0] in {"cli", "demo"}:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                assert not options.search(ast.unparse(node.value)), ast.unparse(node.value)


def test_several_errors_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Settings())
    ours = [Conflict("first", hint="do this"), TransactionRejected("second", t=7)]
    assert (
        report_failure(ExceptionGroup("", [ours[0], ExceptionGroup("", ours[1:])]), output, debug=False) == 13
    )
    assert capsys.readouterr().err == "error: first\nhint: do this\nerror: second\n"
    assert report_failure(ExceptionGroup("", [*ours, KeyError("x")]), output, debug=False) == 1
    assert (
        "error: unexpected KeyError: 'x'\nhint: Run the same command with --debug" in capsys.readouterr().err
    )
    assert report_failure(KeyError("x"), output, debug=True) == 1
    assert "Traceback" not in capsys.readouterr().err  # it was never raised, so it has none
    assert report_failure(KeyboardInterrupt(), output, debug=False) == 130


def test_the_exit_code_is_that_of_the_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes cannot open one directory of Datomic Local, so the error is raised by a substitute."""

    async def overtaken(*_: object, **__: object) -> None:
        raise Overtaken("Another restore writes to it", hint="Let it finish.")

    monkeypatch.setattr(asyncrestore, "restore", overtaken)
    ran = Ran(capsys, "restore", "/nonexistent/store", TARGET)
    assert (ran.code, ran.out) == (11, "")
    assert ran.err == "error: Another restore writes to it\nhint: Let it finish.\n"


def test_a_bug_is_one_line_without_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise LookupError("no such luck")

    monkeypatch.setattr(group.commands["info"], "callback", broken)
    ran = Ran(capsys, "info", "x")
    assert ran.code == 1
    assert "unexpected LookupError: no such luck" in ran.err
    assert "Traceback" not in ran.err
    ran = Ran(capsys, "info", "x", "--debug")
    assert "Traceback" in ran.err
    assert "in broken" in ran.err
    assert "in broken" in Ran(capsys, "info", "x", "--debug", "--json").error["traceback"]


def test_a_closed_output_is_an_error_without_a_traceback(place: Place) -> None:
    process = subprocess.Popen(
        command("info", place.store),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    with process.stderr:
        error = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert error == "error: the output cannot be written: Broken pipe\n"
