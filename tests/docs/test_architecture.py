"""The modules and layers in docs/architecture.md are those of the package: by its imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "asyncrestore"
TEXT = (PACKAGE.parent / "docs" / "architecture.md").read_text()
MODULES = TEXT.split("\n## Modules\n")[1].split("\n## ")[0]
LAYERS = [re.findall(r"`(\w+)`", line) for line in re.findall(r"^\d\. (.*)$", MODULES, re.MULTILINE)]


def unit(path: Path) -> str:
    """The module directly below the package that a file is or belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def needed(file: Path) -> ast.Module:
    """A file's syntax, without what is for types only."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    return tree


def imported(file: Path) -> set[str]:
    """The modules directly below the package, and other packages, that a file imports at run time."""
    names = set()
    for node in ast.walk(needed(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "asyncrestore":
            names |= {f"asyncrestore.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    # Its public names are those of jobs, and of what is below them.
    parts = [name.split(".") for name in names]
    return {
        ("jobs" if name == ["asyncrestore"] else name[1]) if name[0] == "asyncrestore" else name[0]
        for name in parts
    }


FILES = [file for file in PACKAGE.rglob("*.py") if file.parent != PACKAGE or not file.stem.startswith("__")]
UNITS = {unit(file) for file in FILES}
IMPORTS: dict[str, set[str]] = {name: set() for name in UNITS}
for each in FILES:
    IMPORTS[unit(each)] |= imported(each)
OURS = {
    name: {other for other in imports if other in UNITS and other != name}
    for name, imports in IMPORTS.items()
}
PURE = sorted(UNITS - {name for n, names in enumerate(LAYERS) for name in names if n != 6})  # of line 7
LAYER = {name: n for n, names in enumerate([*LAYERS[:6], PURE, LAYERS[7]]) for name in names}


def all_below(names: list[str]) -> set[str]:
    """The modules, and all that they import, directly or not."""
    found: set[str] = set()
    left = set(names)
    while left:
        found |= left
        left = {below for name in left for below in OURS[name]} - found
    return found


def test_there_are_such_modules() -> None:
    assert len(LAYERS) == 8
    assert {name for names in LAYERS for name in names} <= UNITS
    assert len(LAYER) == len(UNITS)


def test_every_module_has_a_row() -> None:
    rows = re.findall(r"^\| (`.*?) \|", MODULES, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w]+)/?`", row)}
    assert UNITS - named == set()
    assert named - UNITS == set()


@pytest.mark.parametrize("name", sorted(UNITS))
def test_a_module_imports_from_its_line_and_below(name: str) -> None:
    above = {other for other in OURS[name] if LAYER[other] < LAYER[name]}
    assert above == set()


def test_no_module_imports_itself_by_others() -> None:
    for name in UNITS:
        assert name not in all_below(sorted(OURS[name])), name


@pytest.mark.parametrize("name", ["stores", "datomic"])
def test_stores_and_databases_know_only_the_last_line(name: str) -> None:
    assert OURS[name] <= set(LAYERS[7])


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_does_no_io_and_never_awaits(name: str) -> None:
    below = all_below([name])
    assert below <= {*PURE, *LAYERS[7]} - {"paths", "tasks", "patience"}
    for module in below:
        foreign = IMPORTS[module] - UNITS
        assert not foreign & {"anyio", "asyncio", "os", "pathlib", "shutil", "socket", "subprocess"}, module
        assert "importlib" not in foreign or module == "rewrites"
        syntax = ast.walk(needed(PACKAGE / f"{module}.py"))
        assert not [node for node in syntax if isinstance(node, (ast.AsyncFunctionDef, ast.Await))], module
