"""Links between the pages lead to files and headings that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.links import anchors, links

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench" / "README.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for file, heading in links(page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not heading or heading in anchors(target.read_text()), f"{file}#{heading}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {file for file, _ in links((ROOT / "README.md").read_text())}
    assert {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} <= linked
