"""The rooms and floors in docs/architecture.md are those of the package: by its imports."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "asyncrestore"
TEXT = (PACKAGE.parent / "docs" / "architecture.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (`.*?) \|", TEXT.split("\n## Rooms\n")[1].split("\n## ")[0], re.MULTILINE)
FLOOR = {name: int(floor) for floor, names in ROWS for name in re.findall(r"`(\w+)/?`", names)}
PURE_ROOMS = ["model", "excision", "segments"]
PURE_IN_PIPELINE = ("resolve", "composites", "window", "flights", "reached", "outcomes")
PURE_MODULES = [f"pipeline.{name}" for name in PURE_IN_PIPELINE]
ASKS_THE_SYSTEM = {"anyio", "asyncio", "os", "pathlib", "shutil", "socket", "subprocess", "importlib"}


def module_of(file: Path) -> str:
    """The name of a file's module within the package."""
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_of(file): file
    for file in PACKAGE.rglob("*.py")
    if file.parent != PACKAGE or not file.stem.startswith("__")
}


def room(module: str) -> str:
    """The room of a module, or the module itself if it stands alone."""
    return module.partition(".")[0]


def syntax(module: str, *, types_too: bool) -> ast.Module:
    """A module's syntax, with or without what is imported for types only."""
    tree = ast.parse(FILES[module].read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = node.body if types_too else []
    return tree


@cache
def imports(module: str, *, types_too: bool) -> set[str]:
    """The modules that one imports: those of the package by name, others with a colon before it."""
    found = set()
    for node in ast.walk(syntax(module, types_too=types_too)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            is_module = {name: full[name].removeprefix("asyncrestore.") in FILES for name in full}
            found |= {full[name] if is_module[name] else str(node.module) for name in full}
    # The public names are those of jobs, and of what is below them.
    ours = {"jobs" if name == "asyncrestore" else name for name in found}
    return {name.removeprefix("asyncrestore.") if _is_ours(name) else f":{name}" for name in ours}


def _is_ours(name: str) -> bool:
    return name.startswith("asyncrestore.") or name == "jobs"


@cache
def all_below(module: str) -> set[str]:
    """A module, and all of the package that it imports at run time, directly or not."""
    found: set[str] = set()
    left = {module}
    while left:
        found |= left
        left = {name for each in left for name in imports(each, types_too=False) if name in FILES} - found
    return found


def test_every_room_has_a_row_and_says_what_it_is_for() -> None:
    assert {room(module) for module in FILES} == FLOOR.keys()
    for name in FLOOR:
        assert ast.get_docstring(syntax(name, types_too=True)), name


@pytest.mark.parametrize("name", sorted(FLOOR))
def test_a_room_imports_from_the_floors_below(name: str) -> None:
    own = [module for module in FILES if room(module) == name]
    others = {
        other for module in own for other in imports(module, types_too=True) if not other.startswith(":")
    }
    assert {other for other in others if room(other) != name and FLOOR[room(other)] <= FLOOR[name]} == set()


def test_no_module_imports_itself_by_others() -> None:
    for name in FILES:
        direct = imports(name, types_too=False) & FILES.keys()
        assert not any(name in all_below(other) for other in direct), name


@pytest.mark.parametrize("name", [*(m for m in FILES if room(m) in PURE_ROOMS), *PURE_MODULES])
def test_a_pure_module_does_no_io_and_never_awaits(name: str) -> None:
    waits = (ast.AsyncFunctionDef, ast.Await)
    for module in all_below(name):
        nodes = list(ast.walk(syntax(module, types_too=False)))
        foreign = {
            other[1:].partition(".")[0] for other in imports(module, types_too=False) if other[0] == ":"
        }
        assert not foreign & ASKS_THE_SYSTEM, module
        assert not [node for node in nodes if isinstance(node, waits)], module
