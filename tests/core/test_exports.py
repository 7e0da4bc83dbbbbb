"""The lazily imported public names, the imports that type checkers see, and `__all__` are the same."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import asyncrestore


def imported_for_type_checkers() -> dict[str, str]:
    """Module by name, from the `if TYPE_CHECKING:` block."""
    tree = ast.parse(Path(asyncrestore.__file__).read_text())
    [block] = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    # Only `import name as name` makes a name public to a type checker.
    assert all(alias.asname == alias.name for node in imports for alias in node.names)
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def test_type_checkers_see_the_lazy_names() -> None:
    lazy = {name: f"asyncrestore.{home}" for name, home in asyncrestore._HOME.items()}
    assert imported_for_type_checkers() == lazy
    assert set(asyncrestore.__all__) == {"__version__", *lazy}
    assert len(asyncrestore.__all__) == len(set(asyncrestore.__all__))


def test_the_table_of_lazy_names_is_sorted() -> None:
    assert list(asyncrestore._HOMES) == sorted(asyncrestore._HOMES)
    assert [list(names) for names in asyncrestore._HOMES.values()] == [
        sorted(names) for names in asyncrestore._HOMES.values()
    ]


@pytest.mark.parametrize("name", sorted(asyncrestore._HOME))
def test_a_public_name_is_that_of_its_module(name: str) -> None:
    home = importlib.import_module(f"asyncrestore.{asyncrestore._HOME[name]}")
    assert getattr(asyncrestore, name) is getattr(home, name)


def test_importing_the_package_imports_none_of_its_modules() -> None:
    program = "import sys, asyncrestore; print([m for m in sys.modules if m.startswith('asyncrestore.')])"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "[]\n"
