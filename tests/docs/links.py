"""Links of Markdown pages: where they lead."""

from __future__ import annotations

import re


def anchors(text: str) -> list[str]:
    """The names of a page's headings in links: in lower case, with hyphens for spaces."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return [re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings]


def links(text: str) -> list[tuple[str, str]]:
    """The links to other files and within the page: the file (empty for the page itself), the heading."""
    targets = re.findall(r"\]\((?!https?:)([^)]*)\)", text)
    return [(file, heading) for file, _, heading in (target.partition("#") for target in targets)]
