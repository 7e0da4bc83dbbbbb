"""The commands on durable Datomic Local databases, each a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from tests.cli.conftest import TRANSACTIONS, command, environment, run_cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place


def documents(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def interrupted_restore(store: str, target: str, *signals: signal.Signals) -> tuple[int, str, str]:
    """Starts a restore and sends signals when its first transactions are in the target, and it is not at its end."""
    process = subprocess.Popen(
        command("--json", "restore", store, target),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout
    first = process.stdout.readline()
    for each in signals:
        process.send_signal(each)
    out, err = process.communicate(timeout=60)
    return process.returncode, first + out, err


def test_interrupted_then_completed_and_verified(place: Place) -> None:
    target = place.storage.format("interrupted")
    code, out, err = interrupted_restore(place.store, target, signal.SIGINT)
    assert code == 130, err
    assert {document["message_type"] for document in documents(out)} == {"status"}
    note, error = documents(err)
    assert (note["message_type"], error["message_type"], error["code"]) == ("note", "exit_error", 130)
    assert "again" in error["hint"]

    # Twice stops at once; what is committed stays here too.
    code, _, err = interrupted_restore(place.store, target, signal.SIGTERM, signal.SIGTERM)
    assert code == 130, err

    completed = run_cli(["restore", place.store, target])
    assert completed.returncode == 0, completed.stderr
    assert "up to source t" in completed.stdout
    verified = run_cli(["--json", "verify", place.store, "--against", target])
    assert verified.returncode == 0, verified.stderr
    summary = documents(verified.stdout)[-1]
    assert (summary["ok"], summary["transactions"]) == (True, TRANSACTIONS + 1)
    again = run_cli(["restore", place.store, target, "--json"])
    assert documents(again.stdout)[-1]["transactions"] == 0


def test_backup_of_a_durable_database_and_info(place: Place, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = run_cli(["backup", place.foreign, "store", "--json"], cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    summary = documents(first.stdout)[-1]
    assert (summary["message_type"], summary["name"], summary["store"]) == ("summary", "foreign", str(store))
    second = run_cli(["backup", place.foreign, str(store)])
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout.startswith("Nothing new")

    found = json.loads(run_cli(["info", place.restored, "--json"]).stdout)
    [few] = {
        document["source"]
        for document in [json.loads(run_cli(["info", place.several, "--json"]).stdout)["backups"][0]]
    }
    assert (found["name"], found["restored_from"]) == ("restored", few)
    assert found["marker_t"] is not None
    system = run_cli(["info", place.storage.format("").replace("/?", "?")])
    assert system.returncode == 0
    assert {"  foreign", "  restored"} <= set(system.stdout.splitlines())


def test_databases_that_do_not_fit(place: Place, tmp_path: Path) -> None:
    cases = (
        (["backup", place.storage.format("missing"), str(tmp_path / "s")], 10, "missing"),
        (["info", place.storage.format("missing")], 10, "missing"),
        (["restore", place.store, place.foreign], 13, "has data of its own"),
        (["restore", place.store, place.restored], 13, "was restored from another database"),
        (["verify", place.store, "--against", place.foreign], 13, "was not restored"),
        (["verify", place.store, "--against", place.restored], 13, "was restored from another database"),
    )
    for arguments, code, says in cases:
        ran = run_cli(arguments)
        assert (ran.returncode, ran.stdout) == (code, ""), ran.stderr
        assert says in ran.stderr
        assert ran.stderr.startswith("error: ")
        assert "Traceback" not in ran.stderr
    assert not (tmp_path / "s").exists()
