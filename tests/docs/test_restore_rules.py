"""Each rule in `docs/restore-rules.md` has a test, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asyncrestore.filters.rewrites import make_rewriter
from tests.docs.links import anchors

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "docs" / "restore-rules.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests/\w+/)?test_\w+\.py)(?:::(\w+))?`", RULES)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids="::".join)
def test_named_test_exists(file: str, test: str) -> None:
    path = ROOT / file if "/" in file else ROOT / "tests" / "engine" / file
    text = path.read_text()
    assert re.search(rf"^(async )?def {test}\(" if test else r"def test_", text, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|asyncrestore)/[\w/.]+)`", RULES))))
def test_named_file_exists(path: str) -> None:
    assert (ROOT / path).exists()


def part(heading: str) -> str:
    return RULES.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_rule_has_a_test() -> None:
    filters, refused = part("Filters").split("\n### What is refused\n")
    rules = re.split(r"^#### ", f"{part('Datoms')}\n{filters}", flags=re.MULTILINE)
    rules = [rule for rule in rules if not rule.startswith("\n")]
    assert len(rules) > 30
    for rule in rules:
        assert re.search(r"^- \*\*(Target|Result):\*\* ", rule, re.MULTILINE), rule
        assert re.search(r"^- \*\*Test:\*\* `(tests/\w+/)?test_\w+\.py", rule, re.MULTILINE), rule
    assert refused.count("\n| ") > 10


def test_every_kind_of_history_is_drawn_or_has_a_test() -> None:
    kinds = [line for line in part("Every kind of history").splitlines() if line.startswith("| ")][1:]
    assert len(kinds) > 20
    assert all(kind.count(" | ") == 2 or kind.endswith("| |") for kind in kinds)
    [alone] = [kind for kind in kinds if "20,000" in kind]
    assert "`test_rules.py::" in alone


def test_every_limit_is_in_the_summary() -> None:
    limits = part("Known limits")
    listed = re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\) \| [^|]+ \| [^|]+ \|$", limits, re.MULTILINE)
    assert sorted(listed) == sorted(anchors(limits))
    assert len(listed) > 12


def test_the_function_with_an_inverse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```$", RULES, re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    rewriter = make_rewriter("mine:later", "person/visits", "db.type/instant", None)
    assert rewriter.distinct
    assert rewriter.rewrite(5) == 1000 * 86_400_000 + 5
