"""`--fit-target` on the command line: a backup of Datomic Pro goes into Datomic Local."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import asyncrestore
from asyncrestore.datomic.uri import PEER
from tests.support.cli import run_cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.databases import NewDatabase

SCHEMA = """[{:db/ident :o/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
              :db/index true}
             {:db/ident :o/blob :db/valueType :db.type/bytes :db/cardinality :db.cardinality/one}]"""


@pytest.fixture
async def store(new_database: NewDatabase, tmp_path: Path) -> str:
    """A store with a backup of Pro."""
    await asyncrestore.backup(await new_database(SCHEMA, of=PEER), tmp_path / "store")
    return str(tmp_path / "store")


def test_restore_and_verify(store: str, tmp_path: Path) -> None:
    target = f"datomic:local://cli/fitted?storage-dir={tmp_path / 'datomic'}"

    refused = run_cli(["restore", store, target])
    assert refused.returncode == 2
    assert ":db/index (1 entity), which it does without; :db.type/bytes (:o/blob), which it" in refused.stderr
    assert "nothing is lost: --fit-target." in refused.stderr
    assert "--exclude o/blob --exclude-schema" in refused.stderr

    (tmp_path / "settings.toml").write_text(
        '[restore]\nfit-target = true\nexclude = ["o/blob"]\nexclude-schema = true\n'
    )
    restored = run_cli(["--config", str(tmp_path / "settings.toml"), "restore", store, target])
    assert restored.returncode == 0, restored.stderr
    assert "\n  left out      :o/blob 4, :db/index 1\n" in restored.stdout

    verify = ["verify", store, "--against", target, "--exclude", "o/blob", "--exclude-schema"]
    otherwise = run_cli(verify)
    assert otherwise.returncode == 13
    assert "key and --fit-target as then" in otherwise.stderr
    verified = run_cli([*verify, "--fit-target", "--json"])
    assert verified.returncode == 0, verified.stderr
    summary = json.loads(verified.stdout.splitlines()[-1])
    assert {"attribute": "db/index", "left_out": 1, "rewritten": 0} in summary["filtered"]
