"""`validate-store` on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asyncrestore.stores import promises
from tests.support.cli import Ran

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.s3 import Bucket


def test_kept_and_broken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promises, "LISTED", 30)
    ran = Ran(capsys, "validate-store", str(tmp_path))
    assert ran.code == 0
    assert f"{tmp_path} keeps its promises" in ran.out

    ran = Ran(capsys, "--json", "--quiet", "validate-store", moto_bucket.uri())
    assert ran.code == 1
    assert "does not match its SHA-256 is refused: it was stored" in ran.error["message"]
    report = json.loads(ran.out)
    assert [each["kept"] for each in report["promises"]] == [True] * 6 + [False]


def test_a_wrong_uri(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "validate-store", "s3://key:secret@bucket/prefix")
    assert ran.code == 2
    assert "must not hold credentials" in ran.err
    assert "secret" not in ran.err
