"""The examples of docs/extending.md keep their promises, and its tables are those of the contracts."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncrestore import MemoryStore, NotFound, TransactionRejected, abc, backup, restore, verify_copy
from asyncrestore.stores import promises
from asyncrestore.testing import check_database, check_store
from tests.docs.test_readme import table
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FLOAT = "[{:db/ident :v/float :db/valueType :db.type/float :db/cardinality :db.cardinality/one}]"


def example(name: str) -> Callable[..., Any]:
    """A class of the page."""
    [program] = [each for each in PROGRAMS if f"class {name}(" in each]
    names: dict[str, Any] = {"__name__": "example"}
    exec(program, names)  # noqa: S102 - what is tested is the page's text
    found: Callable[..., Any] = names[name]
    return found


async def test_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "LISTED", 30)  # each takes several fsyncs
    store = example("SqliteStore")(tmp_path / "store.db")
    with pytest.raises(NotFound, match=r"store.db does not exist"):
        await store.names()
    await check_store(store)


async def test_the_engine(new_database: NewDatabase) -> None:
    make = example("EdnDatabase")
    async with anyio.create_task_group() as tasks:
        await check_database(make(await new_database(), tasks))
        source, target, store = await new_database(SCHEMA, *PEOPLE), await new_database(), MemoryStore()
        await backup(make(source, tasks), store)
        await restore(store, make(target, tasks))
        assert (await verify_copy(source, target)).problems == []


async def test_the_engine_refuses_what_it_cannot_write(new_database: NewDatabase) -> None:
    source, target = await new_database(FLOAT, "[{:v/float 0.5}]"), await new_database()
    async with anyio.create_task_group() as tasks:
        with pytest.raises(TransactionRejected, match="takes no values of kind f"):
            await restore(source, example("EdnDatabase")(target, tasks))


def methods(contract: type) -> set[str]:
    names: frozenset[str] = contract.__abstractmethods__  # type: ignore[attr-defined]
    return set(names)


def test_the_tables_have_all_methods() -> None:
    assert {row[0].strip("`") for row in table("Write a store", PAGE)} == methods(abc.Deletes)
    flat = PAGE.replace("\n### ", "\n## ")
    engine = {row[0].strip("`") for row in table("What each method promises", flat)}
    assert engine == methods(abc.Database) | {f"Submission.{name}" for name in methods(abc.Submission)}


def test_every_public_name_is_explained() -> None:
    assert [name for name in abc.__all__ if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_examples_import_public_names_only() -> None:
    for program in PROGRAMS:
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("asyncrestore"):
                public = importlib.import_module(str(node.module)).__all__
                assert {alias.name for alias in node.names} <= {*public}
