"""The options `--signing-key-file` and `--expect-t`."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tests.support.cli import Ran

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

KEY, OTHER = base64.b64encode(bytes(range(32))).decode(), base64.b64encode(bytes(range(1, 33))).decode()


def test_signed_copied_and_refused(
    capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other, signed = tmp_path / "key", tmp_path / "other", str(tmp_path / "signed")
    key.write_text(KEY)
    other.write_text(OTHER)
    options = ["--signing-key-file", str(key)]
    assert Ran(capsys, "verify", str(store), *options).code == 13
    assert Ran(capsys, "copy", str(store), signed, *options).code == 0
    ran = Ran(capsys, "verify", signed, *options)
    assert (ran.code, "neither encrypted nor signed" in ran.out) == (0, False)
    ran = Ran(capsys, "verify", signed)
    assert (ran.code, "it is signed, and no key was given" in ran.out) == (0, True)
    ran = Ran(capsys, "compact", signed)
    assert (ran.code, "is signed, and no key was given" in ran.err) == (12, True)
    ran = Ran(capsys, "verify", signed, "--signing-key-file", str(other))
    assert (ran.code, "signed with another key" in ran.err, KEY in ran.err) == (12, True, False)
    (tmp_path / "signed" / "db").rename(tmp_path / "signed" / "moved")
    ran = Ran(capsys, "verify", signed, *options)
    assert (ran.code, "not for this place" in ran.out) == (4, True)

    monkeypatch.setenv("ASYNCRESTORE_ENCRYPTION_KEY", KEY)
    ran = Ran(capsys, "verify", signed, *options)
    assert (ran.code, "one to sign with are given" in ran.err) == (2, True)
    monkeypatch.delenv("ASYNCRESTORE_ENCRYPTION_KEY")
    monkeypatch.setenv("ASYNCRESTORE_SIGNING_KEY_FILE", "")
    ran = Ran(capsys, "verify", signed)
    assert (ran.code, "is given, but empty" in ran.err) == (2, True)
    monkeypatch.setenv("ASYNCRESTORE_SIGNING_KEY_FILE", str(tmp_path / "none"))
    assert Ran(capsys, "verify", signed).code == 2


def test_where_a_backup_must_reach(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    end = json.loads(Ran(capsys, "verify", str(store), "--json", "--quiet").out)["end"]
    assert Ran(capsys, "verify", str(store), "--expect-t", str(end - 1)).code == 0
    ran = Ran(capsys, "verify", str(store), "--expect-t", str(end))
    assert (ran.code, f"before t {end}, which is expected" in ran.out) == (4, True)
    ran = Ran(capsys, "query", str(store), "FROM transactions", "--expect-t", str(end))
    assert (ran.code, f"before t {end}, which is expected" in ran.err) == (4, True)
