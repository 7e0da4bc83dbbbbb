"""No secret in what a command prints, however wrong its arguments are; nothing that acts on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest

from asyncrestore.cli.app import group
from asyncrestore.cli.options import Settings
from asyncrestore.cli.output import Output, start_output
from asyncrestore.cli.text import listed, noted, table
from asyncrestore.datomic.bridge import anomaly_from
from asyncrestore.redact import redacted, redacted_uri
from tests.support.cli import TARGET, Ran

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2/Zq"  # noqa: S105
S = SECRET
STORE = "/nonexistent/store"
KEY = "4a7d1ed414474e4033ac29ccb8653d9b4a7d1ed414474e4033ac29ccb8653d9b"

COMMANDS = [
    # A database in another engine's form, or without its prefix.
    ["backup", f"sql://music?jdbc:postgresql://h/d?user=u&password={S}", STORE],
    ["backup", f"jdbc:postgresql://h/d?user=u&password={S}", STORE],
    ["backup", f"dev://u:{S}@h:4334/music", STORE],
    ["backup", f"u:{S}@h:4334/music", STORE],
    ["backup", f"datomic:sql:music?user=u&password={S}", STORE],
    ["backup", f"datomic:cloud://music?password={S}", STORE],
    ["backup", f"datomic:u:{S}@h://music", STORE],
    ["backup", f"datomic:local://dev/music?password={S}", STORE],
    ["backup", f"datomic:local://dev/music?storage-dir=/d&aws_secret_key={S}", STORE],
    ["backup", f"datomic:local://dev/music?storage-dir=/d&password={S}#x", STORE],
    ["backup", f"datomic:local://dev/music?storage-dir=/d&password={S}%ff", STORE],
    ["backup", f"datomic:local://u:{S}@dev/a/b?storage-dir=/d", STORE],
    ["backup", f"datomic:local://dev/music?storage-dir=~nobody-of-this-name&x={S}", STORE],
    ["verify", f"datomic:dev://h:1/music?password={S}"],
    ["verify", f"datomic:dev://u:{S}@h:1/music"],
    ["verify", STORE, "--against", f"sql://music?password={S}"],
    ["verify", STORE, "--live", f"dev://u:{S}@h/music"],
    ["verify", STORE, f"--live=dev://u:{S}@h/music"],
    # A store.
    ["info", f"s3://AKIA:{S}@bucket/backups"],
    ["info", f"S3://AKIA:{S}@bucket/backups"],
    ["info", f"s3:/AKIA:{S}@bucket/backups"],
    ["info", f"s3//AKIA:{S}@bucket/backups"],
    ["info", f"AKIA:{S}@bucket/backups"],
    ["info", f"AK/IA:{S}@bucket/backups"],
    ["info", f"s3://AKIA:{S}"],
    ["info", f"s3:///AKIA:{S}@bucket"],
    ["info", f"s3://bucket/p?aws_secret_access_key={S}"],
    ["info", f"s3://bucket/p?{S}"],
    ["info", f"s3://bucket/p#{S}"],
    ["info", f"s3://bucket/p?endpoint-url=https://AKIA:{S}@minio"],
    ["info", f"s3://bu[cket:{S}@x/p"],
    ["info", f"s3://\u2100:{S}@x/p"],
    ["info", f"file://u:{S}@host/path"],
    ["info", f"file:///path?password={S}"],
    ["info", f"https://minio/bucket?X-Amz-Signature={S}"],
    ["backup", TARGET, f"memory:?password={S}"],
    ["copy", STORE, f"gs://k:{S}@bucket"],
    ["repair", TARGET, f"ftp://h/p?password={S}"],
    ["delete", f"ftp://k:{S}@h", "music"],
    ["validate-store", f"ftp://k:{S}@h"],
    ["query", f"ftp://k:{S}@h", "SELECT 1"],
    # A place too many, or beside a wrong option.
    ["backup", TARGET, STORE, f"s3://AKIA:{S}@bucket"],
    ["backup", f"dev://u:{S}@h/music", STORE, "--parallel", "0"],
    ["backup", f"dev://u:{S}@h/music", STORE, "--bogus"],
    # Keys.
    ["info", STORE, "--encryption-key-command", f"'op read {S}'"],
    ["info", STORE, "--encryption-key-command", f"op 'read {S}"],
    ["info", STORE, "--encryption-key-command", "op", "read", S],
    ["info", STORE, "--encryption-key-command", f"{sys.executable} -c raise(SystemExit(3)) {S}"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("more", [[], ["--json"], ["--debug"], ["--debug", "--json"]], ids=" ".join)
def test_no_secret_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], more: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ran = Ran(capsys, *arguments, *more)
    assert ran.code in {2, 10, 12}, ran.err
    for part in (SECRET, *SECRET.split("/")):
        assert part not in ran.out + ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", [KEY, "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_key_in_the_place_of_its_file(
    capsys: pytest.CaptureFixture[str], key: str, debug: list[str]
) -> None:
    ran = Ran(capsys, "info", STORE, "--encryption-key-file", key, *debug)
    assert ran.code == 2
    assert key not in ran.err
    assert "rather than giving the secret itself" in ran.err


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("datomic:sql://m?jdbc:postgresql://h:5432/d?user=u&password=p", "datomic:sql://m?..."),
        ("datomic:dev://localhost:4334/music", "datomic:dev://localhost:4334/music"),
        ("datomic:local://dev/m?storage-dir=/a b'c?d/[e", "datomic:local://dev/m?storage-dir=/a b'c?d/[e"),
        ("datomic:local://dev/m?storage-dir=/d&password=p&x=y", "datomic:local://dev/m?storage-dir=/d&..."),
        (
            "s3://b/p?region=r&endpoint-url=http://k:p@h:9000",
            "s3://b/p?region=r&endpoint-url=http://...@h:9000",
        ),
        ("https://[::1]:9000/a@b", "https://[::1]:9000/a@b"),
        ("/data/x@y", "/data/x@y"),
        ("file:///data/x@y", "file:///data/x@y"),
        ("s3://key:secret", "s3://key:..."),
    ],
)
def test_what_is_shown_of_a_uri(uri: str, shown: str) -> None:
    assert redacted_uri(uri) == shown
    if "'" not in uri:
        assert redacted(f"error: {uri!r} is bad") == f"error: {shown!r} is bad"


def test_the_library_and_its_log_tell_no_secret_either(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"category": "fault", "message": f"no driver for jdbc:x://h?user=u&password={SECRET}"}
    anomaly = anomaly_from({**dict.fromkeys(("error", "entity", "present")), **said})
    assert anomaly.message == "no driver for jdbc:x://h?..."
    start_output(Settings())
    logging.getLogger("asyncrestore.x").warning("no answer from https://u:%s@h", SECRET)
    assert capsys.readouterr().err == "warning: no answer from https://...@h\n"


# URIs from a file or a variable.


def test_uris_from_a_file_and_a_variable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        group.commands["verify"], "callback", lambda source, live, **_: seen.append((source, live))
    )
    uri = f"datomic:dev://h:1/music?password={SECRET}"
    file = tmp_path / "uri"
    file.write_text(f"{uri}\n")
    file.chmod(0o600)
    monkeypatch.setenv("MUSIC", uri)
    assert (Ran(capsys, "verify", f"@{file}", "--live", "env:MUSIC").code, seen) == (0, [(uri, uri)])
    monkeypatch.undo()

    monkeypatch.setenv("MUSIC", f"sql://music?password={SECRET}")
    file.write_text(f"sql://music?password={SECRET}\n")
    for place in (f"@{file}", "env:MUSIC"):
        ran = Ran(capsys, "backup", place, STORE)
        assert "'sql://music?...' is not a Datomic URI" in ran.err
    file.chmod(0o640)
    assert f"warning: {file} holds a secret, and others may read it" in Ran(capsys, "info", f"@{file}").err

    for text, place, says in (
        ("", f"@{file}", "has 0 lines"),
        ("a\nb\n", f"@{file}", "has 2 lines"),
        ("", f"@{tmp_path}/none", "No such file"),
        ("", "env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE is not set"),
    ):
        file.write_text(text)
        ran = Ran(capsys, "info", place)
        assert ran.code == 2
        assert says in ran.err


def test_every_argument_that_is_a_uri_may_be_given_so() -> None:
    places = {
        (name, parameter.name)
        for name, command in group.commands.items()
        for parameter in command.params
        if parameter.type.name == "uri"
    }
    named = {
        (name, parameter.name)
        for name, command in group.commands.items()
        for parameter in command.params
        if parameter.name in {"source", "store", "target", "place", "against", "live"}
    }
    assert places == named


@pytest.mark.parametrize("option", ["--encryption-key-file", "--rewrite-key-file"])
def test_a_key_file_that_others_may_read_is_warned_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str
) -> None:
    key = tmp_path / "key"
    key.write_text("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")
    for mode, warned in ((0o600, False), (0o640, True), (0o604, True)):
        key.chmod(mode)
        ran = Ran(capsys, "verify", STORE, option, str(key))
        assert (ran.code, f"chmod 600 {key}" in ran.err) == (10, warned)
    assert "chmod" not in Ran(capsys, "verify", STORE, option, str(key), "--quiet").err


@pytest.mark.parametrize(
    ("how", "added"), [("constant:a", False), ("fake:name", False), ("hash", False), ("mine:function", True)]
)
def test_only_a_function_is_looked_for_in_the_working_directory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str, added: bool
) -> None:
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    assert Ran(capsys, "restore", STORE, TARGET, "--rewrite", f"a/b={how}").code == 10
    assert ("" in sys.path) is added


# The terminal.

HOSTILE = "a\x1b]0;owned\x07\x1b[2Jb\u202ec\x9bd\re"
CLEAN = r"a\x1b]0;owned\x07\x1b[2Jb\u202ec\x9bd\re"


def test_nothing_acts_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Settings())
    output.result({}, table(HOSTILE, [("name", HOSTILE)]))
    output.step(HOSTILE)
    output.note(HOSTILE)
    output.log("warning", HOSTILE)
    output.error(1, HOSTILE, hint=HOSTILE, traceback=f"{HOSTILE}\n")
    written = capsys.readouterr()
    assert written.out == f"{CLEAN}\n  name          {CLEAN}\n{CLEAN}\n"
    assert written.err == f"{CLEAN}\nwarning: {CLEAN}\n{CLEAN}\nerror: {CLEAN}\nhint: {CLEAN}\n"
    Output(Settings(json=True)).note(HOSTILE)
    assert json.loads(capsys.readouterr().err)["message"] == HOSTILE


def test_a_line_break_in_a_name_makes_no_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert table("a\nb", [("name", "c\nd")]) == "a\\nb\n  name          c\\nd"
    assert (noted(["a\nb"]), listed(["a\nb"])) == (["  note: a\\nb"], ["  - a\\nb"])
    Output(Settings()).error(4, "x\nhint: run this")
    assert capsys.readouterr().err == "error: x\n  hint: run this\n"
