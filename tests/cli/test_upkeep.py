"""`repair`, `compact`, `copy`, `delete`, `backup --shard` and `verify --live` on the command line."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import small_backup
from tests.support.cli import Ran, run_cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

RANGES = [f"{range_.start:013d}-{range_.end:013d}" for range_ in small_backup.RANGES]


def test_compact_and_delete(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    ran = Ran(capsys, "compact", str(store))
    assert (ran.code, ran.err) == (0, "")
    assert "to be read    1 segment, 3 before" in ran.out

    info = Ran(capsys, "info", str(store)).out
    assert f"superseded    {RANGES[0]}.parquet, " in info
    verified = Ran(capsys, "verify", str(store), "--quiet")
    assert verified.code == 0
    assert f"note: {RANGES[0]}.parquet is superseded by others" in verified.out

    asked = Ran(capsys, "--json", "delete", str(store), "db", "--superseded")
    assert asked.code == 2
    assert "--yes" in asked.error["message"]
    assert (json.loads(asked.out)["confirmed"], len(json.loads(asked.out)["deleted"])) == (False, 3)
    assert len(list((store / "db").iterdir())) == 4
    done = Ran(capsys, "delete", str(store), "db", "--superseded", "--yes")
    assert done.code == 0
    assert done.out.startswith("Deleted 3 objects")
    assert Ran(capsys, "verify", str(store), "--quiet").code == 0
    assert Ran(capsys, "delete", str(store), "db").code == 2
    assert Ran(capsys, "delete", str(store), "db", "--yes").code == 0
    assert list(store.iterdir()) == []
    assert Ran(capsys, "delete", str(store), "db", "--yes").code == 10


def test_copy(capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path) -> None:
    ran = Ran(capsys, "copy", str(store), str(tmp_path / "spare"), "--as-name", "other", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert "the copy      whole, verified" in ran.out
    key = f"{RANGES[1]}.parquet"
    (store / "db" / key).write_bytes(b"")
    ran = Ran(capsys, "--json", "--quiet", "copy", str(store), str(tmp_path / "more"))
    assert ran.code == 4
    assert key in ran.error["message"]
    assert json.loads(ran.out.splitlines()[-1])["ok"] is False


def test_info_and_verify_name_what_is_wrong(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    (store / "db" / f"{RANGES[0]}.parquet").unlink()
    (store / "db" / f"{RANGES[2]}.parquet").write_bytes(b"no segment")
    (store / "db" / "notes.txt").touch()
    ran = Ran(capsys, "info", str(store))
    assert ran.code == 4
    for line in ("MISSING       t 0 to 9, the head too", "foreign files notes.txt", "DAMAGED       "):
        assert f"  {line}" in ran.out
    ran = Ran(capsys, "verify", str(store), "--quiet")
    assert ran.code == 4
    assert "no segment holds t 0 to 9 (the head)" in ran.out
    assert f"{RANGES[2]}.parquet is damaged" in ran.out
    assert "note: notes.txt is not a segment" in ran.out
    assert "Run repair with the source" in ran.err


@pytest.mark.parametrize("shard", ["3", "a/b", "2/2", "1/0", "-1/2", "/", "\u00b2/3"])
def test_wrong_shards(capsys: pytest.CaptureFixture[str], shard: str) -> None:
    source = "datomic:local://cli/never-made?storage-dir=/nonexistent/datomic"
    ran = Ran(capsys, "backup", source, "/nonexistent/store", "--shard", shard)
    assert ran.code == 2
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err


def test_shards_damage_and_repair(place: Place, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def result(*arguments: str, code: int = 0) -> dict[str, Any]:
        ran = run_cli([*arguments, "--json"])
        assert ran.returncode == code, ran.stderr
        document: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        return document

    backup = ["backup", place.restored, str(store), "--segment-size", "5", "--name", "db"]
    one = result(*backup, "--shard", "0/2")
    assert one["missing"]
    two = result(*backup, "--shard", "1/2")
    assert two["missing"] == []
    segments = sorted((store / "db").glob("*.parquet"))
    assert len(segments) == len(one["segments"]) + len(two["segments"])
    kept = tmp_path / "kept"
    shutil.copytree(store, kept)

    segments[-1].unlink()
    assert result("verify", str(store))["ok"]
    assert result("verify", str(store), "--live", place.restored)["behind"] > 0
    shown = run_cli(["verify", str(store), "--live", place.restored]).stdout
    assert re.search(r"note: the backup is behind by \d+ transactions?: run backup", shown)
    segments[0].write_bytes(b"")

    mended = run_cli(["repair", place.restored, str(store), "--name", "db"])
    assert mended.returncode == 0, mended.stderr
    assert "put aside     1 segment" in mended.stdout
    assert "whole, verified" in mended.stdout
    assert result("verify", str(store), "--live", place.restored)["ok"]
    other = run_cli(["repair", place.foreign, str(store), "--name", "db"])
    assert other.returncode == 13, other.stderr
