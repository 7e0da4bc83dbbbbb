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


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`(tests/[\w/]+(?:\.py)?)`", RULES))))
def test_named_file_exists(file: str) -> None:
    assert (ROOT / file).exists()


SHORT = [
    part
    for named in re.findall(r"RULES ((?:`\w+`(?:, )?)+)", RULES)
    for part in re.findall(r"`(\w+)`", named)
]


@pytest.mark.parametrize("part", SHORT)
def test_short_name_is_of_a_test_of_rules(part: str) -> None:
    rules = (ROOT / "tests" / "engine" / "test_rules.py").read_text()
    assert re.search(rf"^async def test_\w*{part}\w*\(", rules, re.MULTILINE)


def test_every_rule_has_a_test() -> None:
    """Rows of the tables under "Datoms" and "Filters" end in what shows them."""
    datoms = RULES.split("## Datoms")[1].split("\n## ")[0]
    filters = RULES.split("## Filters")[1].split("\nRefused")[0]
    rows = [line for part in (datoms, filters) for line in part.splitlines() if line.startswith("| ")]
    shown = [row.rstrip(" |").rsplit("|", 1)[1] for row in rows if "shown by" not in row]
    assert len(SHORT) > 8
    assert len(shown) > 25
    assert [cell for cell in shown if not re.search(r"\b(RT|RULES|ED|TF|CF)\b|`tests/", cell)] == []


def test_every_kind_of_history_has_a_test() -> None:
    table = RULES.split("## Every kind of history")[1].split("\n## ")[0]
    kinds = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(kinds) > 20
    assert [kind for kind in kinds if "`tests/" not in kind and "ANY" not in kind] == []
