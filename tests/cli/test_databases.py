"""Commands on durable Datomic Local databases, each run as a process."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import signal
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore import demo
from asyncrestore.cli import main
from tests.cli.conftest import TRANSACTIONS
from tests.support.cli import run_cli, run_shell
from tests.support.refused import confined, mode, nobody
from tests.support.stopping import start_and_wait

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

DEMO_TRANSACTIONS = 600


def documents(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def interrupted_restore(store: str, target: str, *signals: signal.Signals) -> tuple[int, str, str]:
    """Starts a restore, and sends signals when it is far from its end."""
    process = start_and_wait(3, "--json", "restore", store, target)
    for each in signals:
        process.send_signal(each)
        process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_interrupted_then_completed_and_verified(place: Place) -> None:
    target = place.storage.format("interrupted")
    code, out, err = interrupted_restore(place.store, target, signal.SIGINT)
    assert code == 130, err
    assert {document["message_type"] for document in documents(out)} == {"status"}
    note, error = documents(err)
    assert (note["message_type"], error["message_type"], error["code"]) == ("note", "exit_error", 130)
    assert "again" in error["hint"]

    # A second signal stops it at once; what is committed stays then too.
    code, _, err = interrupted_restore(place.store, target, signal.SIGTERM, signal.SIGTERM)
    assert code == 130, err

    completed = run_cli(["restore", place.store, target])
    assert completed.returncode == 0, completed.stderr
    assert "up to source t" in completed.stdout
    verified = run_cli(["--json", "verify", place.store, "--against", target])
    assert verified.returncode == 0, verified.stderr
    summary = documents(verified.stdout)[-1]
    assert (summary["ok"], summary["transactions"]) == (True, TRANSACTIONS + 1)


@nobody
def test_a_target_in_a_system_that_may_not_be_looked_into(place: Place, tmp_path: Path) -> None:
    system = tmp_path / "datomic" / "s"
    system.mkdir(parents=True)
    with mode(system, 0):
        target = f"datomic:local://s/copy?storage-dir={system.parent}"
        ran = confined("-U", "true", "restore", place.store, target)
    assert ran.returncode == 12, ran.stderr
    assert f"{system}/copy: access denied" in ran.stderr
    assert list(system.iterdir()) == []


def test_too_few_open_files(place: Place) -> None:
    ran = run_shell('ulimit -n 40; "$@"', "info", place.foreign)
    assert ran.returncode == 1
    assert "too many open files" in ran.stderr
    assert "hint: Raise the limit of open files" in ran.stderr


def test_backup_of_a_durable_database_and_info(place: Place, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = run_cli(["backup", place.foreign, "store", "--json"], cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    summary = documents(first.stdout)[-1]
    assert (summary["message_type"], summary["name"], summary["store"]) == ("summary", "foreign", str(store))

    [backup, _] = json.loads(run_cli(["info", place.several, "--json"]).stdout)["backups"]
    found = json.loads(run_cli(["info", place.restored, "--json"]).stdout)
    assert (found["name"], found["restored_from"]) == ("restored", backup["source"])
    assert found["marker_t"] is not None
    system = run_cli(["info", place.storage.format("").replace("/?", "?")])
    assert system.returncode == 0
    assert {"  foreign", "  restored"} <= set(system.stdout.splitlines())


def test_piece_by_piece(place: Place, tmp_path: Path) -> None:
    store, target = str(tmp_path / "store"), place.storage.format("pieces")
    backup = ["backup", place.restored, store, "--segment-size", "5"]
    later = run_cli([*backup, "--start-t", "10", "--end-t", "15"])
    assert later.returncode == 0, later.stderr
    assert "still missing t 0 to 9, 15 to 1" in later.stdout
    first = documents(run_cli([*backup, "--segments", "1", "--json"]).stdout)[-1]
    assert (first["segments"], first["end"]) == ([{"start": 0, "end": 5}], 5)
    assert first["missing"][0] == {"start": 5, "end": 10}
    assert "still missing" not in run_cli(backup).stdout

    restore = ["restore", store, target, "--segments", "1", "--spot-check", "1", "--id-cache-size", "1000"]
    some = run_cli(restore)
    assert some.returncode == 0, some.stderr
    assert "segments; the same command continues" in some.stdout
    assert "each the right one" in some.stdout
    assert re.search(r"id cache +\d+\.\d% of \d+ look-ups found; \d+% full", some.stdout)
    rest = documents(run_cli(["restore", store, target, "--json"]).stdout)[-1]
    assert (rest["segments_left"], rest["spot_checked"]) == (0, 0)
    assert rest["id_cache"]["capacity"] >= 2_000_000


def test_databases_that_do_not_fit(place: Place, tmp_path: Path) -> None:
    cases = (
        (["backup", place.storage.format("missing"), str(tmp_path / "s")], 10, "missing"),
        (["restore", place.store, place.foreign], 13, "has data of its own"),
        (["restore", place.store, place.restored], 13, "was restored from another database"),
    )
    for arguments, code, says in cases:
        ran = run_cli(arguments)
        assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
        assert says in ran.stderr
        assert ran.stderr.startswith("error: ")
        assert "Traceback" not in ran.stderr
    assert not (tmp_path / "s").exists()


def test_a_place_where_the_demo_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = run_cli(["demo", "--keep", str(tmp_path / "file" / "demo")])
    assert ran.returncode == 2, ran.stderr
    assert "cannot be used" in ran.stderr


def test_the_demo_on_its_first_months(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with gzip.open(demo.DATA, "rb") as file:
        lines = file.read().splitlines()[:DEMO_TRANSACTIONS]
    shorter = tmp_path / "shorter.edn.gz"
    shorter.write_bytes(gzip.compress(b"\n".join(lines)))
    monkeypatch.setattr(demo, "DATA", shorter)
    monkeypatch.setattr(demo, "INSTANTS", demo.INSTANTS[:1])
    kept = tmp_path / "with space"
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--keep", str(kept)])
    out, err = capsys.readouterr()
    assert exit_.value.code == 0, err
    assert "backup: whole; copy: identical" in out
    assert out.count("The Pink Floyd, United States, 12") == 2
    assert f"asyncrestore info '{kept}/backups'" in out
    # The commands that it suggests work.
    line = next(line for line in out.splitlines() if "asyncrestore info 'datomic:" in line)
    info = run_cli([*shlex.split(line)[1:], "--json"])
    assert json.loads(info.stdout)["marker_t"] is not None, info.stderr
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--keep", str(kept)])
    assert exit_.value.code == 2
    assert "is not empty" in capsys.readouterr().err
