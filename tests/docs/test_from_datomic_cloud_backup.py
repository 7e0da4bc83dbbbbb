"""The page for those who come from datomic-cloud-backup names only what there is."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import asyncrestore
from asyncrestore.cli.app import group
from tests.histories import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncrestore.datomic.database import BridgeDatabase

PAGE = (Path(__file__).parents[2] / "docs" / "from-datomic-cloud-backup.md").read_text()
THERE = [
    "all-refs", "avet-lookup", "backup!", "backup-gaps", "backup-next-segment!", "backup-segment!",
    "bookkeeping-txn", "cache-lookup", "cache-store!", "get-id-cache", "reset-id-cache!",
    "id-cache-stats", "*id-cache-max-size*", "eid->eidx", "is-new-id?", "find-segment-start-t",
    "record-new-ids!", "repair-backup!", "resolve-id", "resolved-txn", "restore!!",
    "restore-segment!", ":restored-segment", ":nothing-new-available", ":transaction-failed!",
    ":partial-segment", "rewrite-and-filter-txn", "should-verify?", "verify-new-id-assertion!",
    "tx-time", "previous-transaction-carryover", "-load-transactions",
]  # fmt: skip


@pytest.mark.anyio
async def test_the_example_works(
    new_database: Callable[..., Awaitable[BridgeDatabase]], capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    source = await new_database(SCHEMA, *(f'[{{:p/email "{n}@x"}}]' for n in range(600)))
    given = {
        "asyncrestore": asyncrestore,
        "SOURCE": source,
        "STORE": asyncrestore.MemoryStore(),
        "TARGET": await new_database(),
    }
    program = compile(example, "the page's example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(program, given)  # noqa: S307 - it is ours; eval answers the coroutine that exec would drop
    [backed_up, gaps, first, second] = capsys.readouterr().out.splitlines()
    assert backed_up.startswith("[SegmentRange(start=0, end=500)] [SegmentRange(start=500, end=")
    assert gaps.endswith(" []")
    assert (first.split()[0], second.split()[0]) == ("499", "564")


def named(dotted: str) -> object:
    """What a dotted name means: a module, as far as there is one, and attributes of it."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise AssertionError(dotted)


@pytest.mark.parametrize("dotted", sorted(set(re.findall(r"\basyncrestore(?:\.\w+)+", PAGE))))
def test_every_name_exists(dotted: str) -> None:
    assert named(dotted)


def test_every_argument_exists() -> None:
    calls = re.findall(r"(asyncrestore\.\w+)\(([^)]*)\)", PAGE)
    assert len(calls) > 10
    for function, arguments in calls:
        parameters = inspect.signature(named(function)).parameters  # type: ignore[arg-type]
        assert set(re.findall(r"(\w+)=", arguments)) <= set(parameters), function


def test_every_option_exists() -> None:
    known = {
        name
        for command in group.commands.values()
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known


@pytest.mark.parametrize("function", THERE)
def test_every_function_of_the_predecessor_is_mapped(function: str) -> None:
    assert re.search(rf"^\| [^|]*`{re.escape(function)}`", PAGE, re.MULTILINE)
