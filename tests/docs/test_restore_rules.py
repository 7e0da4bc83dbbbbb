"""The tests that `docs/restore-rules.md` names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "docs" / "restore-rules.md").read_text()
NAMED = sorted(set(re.findall(r"\b(tests/\w+/\w+\.py)::(\w+)", RULES)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids="::".join)
def test_named_test_exists(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_kind_of_history_has_a_test() -> None:
    table = RULES.split("## Every kind of history")[1].split("\n## ")[0]
    kinds = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(kinds) > 20
    assert [kind for kind in kinds if "`tests/" not in kind and "ANY" not in kind] == []
