"""The key on the command line: from a file, a command, the environment or a key service; never printed."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import small_backup
from tests.support.cli import Ran, run_cli

if TYPE_CHECKING:
    from tests.cli.conftest import Place
    from tests.support.s3 import Bucket

KEY = base64.b64encode(os.urandom(32)).decode()
OTHER = base64.b64encode(os.urandom(32)).decode()


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if "ENCRYPTION" in name]:
        monkeypatch.delenv(name)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A store with a small backup, `db`, not encrypted."""
    return small_backup.write(tmp_path / "plain")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    return file


@pytest.fixture
def store(capsys: pytest.CaptureFixture[str], plain: Path, key_file: Path, tmp_path: Path) -> Path:
    """A store with the same backup, encrypted."""
    ran = Ran(capsys, "copy", str(plain), str(tmp_path / "store"), "--encryption-key-file", str(key_file))
    assert ran.code == 0, ran.err
    return tmp_path / "store"


def test_a_key_from_everywhere(
    capsys: pytest.CaptureFixture[str], store: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"{sys.executable} -c 'print(open(\"{key_file}\").read())'"
    for options, variables in (
        (["--encryption-key-file", str(key_file)], {}),
        (["--encryption-key-command", command], {}),
        ([], {"ASYNCRESTORE_ENCRYPTION_KEY": KEY}),
        ([], {"ASYNCRESTORE_ENCRYPTION_KEY_FILE": str(key_file)}),
        ([], {"ASYNCRESTORE_ENCRYPTION_KEY_COMMAND": command}),
        ([], {"ASYNCRESTORE_VERIFY_ENCRYPTION_KEY_FILE": str(key_file)}),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            ran = Ran(capsys, "verify", str(store), *options, "--debug")
            assert ran.code == 0, ran.err
            assert KEY not in ran.out + ran.err


def test_the_wrong_key(capsys: pytest.CaptureFixture[str], store: Path, plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(OTHER)
    first = f"{min((store / 'db').iterdir())}"
    for arguments in (
        ["verify", str(store)],
        ["info", str(store)],
        ["query", str(store), "FROM datoms"],
        ["compact", str(store)],
        ["copy", str(store), str(tmp_path / "more")],
        ["delete", str(store), "db", "--superseded", "--yes"],
        ["restore", str(store), "datomic:local://cli/encrypted?storage-dir=:mem"],
    ):
        for options in ([], ["--encryption-key-file", str(other)]):
            ran = Ran(capsys, *arguments, *options, "--json", "--quiet")
            assert ran.code == 12, (arguments, ran.err)
            message = ran.error["message"]
            assert message.startswith(str(store / "db")), message
            assert ".parquet: it is encrypted" in message
            assert "docs/encryption.md" in ran.error["hint"]
            assert OTHER not in ran.err
    assert first in Ran(capsys, "verify", str(store), "--json").error["message"]
    ran = Ran(capsys, "verify", str(plain), "--encryption-key-file", str(other))
    assert ran.code == 13
    assert "it is not encrypted, and a key was given" in ran.err


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "has 0 bytes"), ("c2hvcnQ=", "has 5 bytes"), ("what?", "not base64"), ("0" * 64, "has 48 bytes")],
)
def test_texts_that_are_not_keys(
    capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "bad"
    file.write_text(text)
    ran = Ran(capsys, "verify", str(store), "--encryption-key-file", str(file))
    assert ran.code == 2
    assert problem in ran.err
    assert "openssl rand -base64 32" in ran.err
    assert not text or text not in ran.err


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("--encryption-key-command", "ASYNCRESTORE_ENCRYPTION_KEY_COMMAND"),
        ("--encryption-kms-key", "ASYNCRESTORE_ENCRYPTION_KMS_KEY"),
        (None, "ASYNCRESTORE_ENCRYPTION_KEY_FILE"),
        (None, "ASYNCRESTORE_ENCRYPTION_KEY"),
    ],
)
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_key_does_not_mean_in_clear(
    capsys: pytest.CaptureFixture[str],
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    variable: str,
    empty: str,
) -> None:
    arguments = ["copy", str(plain), str(tmp_path / "made")]
    if option:
        ran = Ran(capsys, *arguments, option, empty)
        assert (ran.code, f"{option} is given, but empty" in ran.err) == (2, True), ran.err
    monkeypatch.setenv(variable, empty)
    ran = Ran(capsys, *arguments)
    assert (ran.code, "is given, but empty" in ran.err) == (2, True), ran.err
    assert not (tmp_path / "made").exists()


def test_a_reason_that_cannot_be_read_is_not_a_problem(
    capsys: pytest.CaptureFixture[str], store: Path, key_file: Path
) -> None:
    """Anybody who can write an object beside a segment can put it aside."""
    (store / "db" / "0000000000030-0000000000040.parquet.aside").touch()
    ran = Ran(capsys, "verify", str(store), "--encryption-key-file", str(key_file))
    assert ran.code == 0, ran.err
    assert "was put aside: the reason cannot be read: " in ran.out


def test_keys_that_cannot_be_obtained(
    capsys: pytest.CaptureFixture[str], store: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = f"{sys.executable} -c 'import sys; print(\"{KEY}\"); sys.exit(3)'"
    for code, words, options in (
        (2, "cannot be read", ["--encryption-key-file", "/nonexistent/key"]),
        (12, "exit code 3", ["--encryption-key-command", failing]),
        (2, "cannot be run", ["--encryption-key-command", "/nonexistent/program"]),
        (2, "cannot be split", ["--encryption-key-command", "'"]),
        (2, "More than one", ["--encryption-key-file", str(key_file), "--encryption-kms-key", "x"]),
    ):
        ran = Ran(capsys, "verify", str(store), *options, "--debug")
        assert ran.code == code, ran.err
        assert words in ran.err
        assert KEY not in ran.err
    monkeypatch.setenv("ASYNCRESTORE_ENCRYPTION_KEY", KEY)
    ran = Ran(capsys, "verify", str(store), "--encryption-key-file", str(key_file))
    assert ran.code == 2
    assert KEY not in ran.err


def test_decrypt(capsys: pytest.CaptureFixture[str], store: Path, plain: Path, key_file: Path) -> None:
    options = ["--encryption-key-file", str(key_file), "--quiet"]
    ran = Ran(capsys, "copy", str(store), str(store.parent / "clear"), "--decrypt", *options)
    assert ran.code == 0, ran.err
    for path in (plain / "db").iterdir():
        assert (store.parent / "clear" / "db" / path.name).read_bytes() == path.read_bytes()
    assert Ran(capsys, "copy", str(store), str(store.parent / "x"), "--decrypt").code == 2


def test_a_journey(place: Place, tmp_path: Path, key_file: Path) -> None:
    """From a database to a restored one, through a store that is damaged; each command is a process."""
    store, target = str(tmp_path / "db"), f"datomic:local://cli/copy?storage-dir={tmp_path / 'target'}"

    def run(*arguments: str) -> str:
        ran = run_cli([*arguments, "--quiet"], ASYNCRESTORE_ENCRYPTION_KEY_FILE=str(key_file))
        assert ran.returncode == 0, ran.stderr
        assert KEY not in ran.stdout + ran.stderr
        return ran.stdout

    run("backup", place.foreign, store, "--name", "db")
    segment = min(Path(store, "db").iterdir())
    segment.write_bytes(segment.read_bytes()[:-1])
    assert "put aside     1 segment" in run("repair", place.foreign, store, "--name", "db")
    run("restore", store, target)
    run("verify", store, "--against", target)


def test_a_key_service(
    capsys: pytest.CaptureFixture[str], plain: Path, moto_bucket: Bucket, aws: pytest.MonkeyPatch, kms: Any
) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    made = Ran(capsys, "copy", str(plain), moto_bucket.uri(), "--encryption-kms-key", key, "--quiet")
    assert made.code == 0, made.err
    contents = [moto_bucket.get(each) for each in moto_bucket.all_keys() if each.endswith(".parquet")]
    assert [each.startswith(b"asyncrestore encrypted 2\n") for each in contents] == [True] * 3
    assert Ran(capsys, "verify", moto_bucket.uri(), "--encryption-kms-key", key).code == 0
    assert Ran(capsys, "verify", moto_bucket.uri()).code == 12
    aws.setenv("ASYNCRESTORE_ENCRYPTION_KMS_KEY", key)
    assert Ran(capsys, "verify", moto_bucket.uri()).code == 0
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    ran = Ran(capsys, "verify", str(plain.parent / "plain"), "--encryption-kms-key", key)
    assert ran.code == 13, "it is not encrypted: nobody is asked"
