"""A wrong argument of a library function: the error names it, what it must be and what it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

import asyncrestore
from asyncrestore import MemoryStore, Selection, UsageError
from asyncrestore.abc import Database, Store
from asyncrestore.stores.filesystem import FilesystemStore
from tests.support import small_backup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

NOTHING = "datomic:local://none/none?storage-dir=/nonexistent"
WRONG: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str]] = [
    (asyncrestore.backup, (7, "s"), {}, "source must be a Database or its URI, and is 7"),
    (
        asyncrestore.backup,
        (NOTHING, b"s"),
        {},
        "store must be a Store, its URI or the path of a directory, and is a bytes",
    ),
    (
        asyncrestore.backup,
        (NOTHING, "s"),
        {"segment_size": "10"},
        "segment_size must be an integer, at least 1, and is '10'",
    ),
    (asyncrestore.backup, (NOTHING, "s"), {"parallel": True}, "parallel must be an integer"),
    (asyncrestore.backup, (NOTHING, "s"), {"end_t": 1.5}, "end_t must be an integer, at least 0, and is 1.5"),
    (asyncrestore.backup, (NOTHING, "s"), {"name": 3}, "name must be a text, and is 3"),
    (asyncrestore.restore, (None, NOTHING), {}, "source must be a Store or a Database"),
    (
        asyncrestore.restore,
        ("s", NOTHING),
        {"exclude": ":p/name"},
        "exclude must be a list of texts, and is ':p/name'",
    ),
    (asyncrestore.restore, ("s", NOTHING), {"exclude": [7]}, "exclude must be a list of texts, and is 7"),
    (asyncrestore.restore, ("s", NOTHING), {"rewrite": ["hash"]}, "rewrite must be a mapping"),
    (
        asyncrestore.restore,
        ("s", NOTHING),
        {"rewrite_key": "secret"},
        "rewrite_key must be bytes, and is a str",
    ),
    (
        asyncrestore.restore,
        ("s", NOTHING),
        {"until_t": "5"},
        "until_t must be an integer, at least 0, and is '5'",
    ),
    (asyncrestore.restore, ("s", NOTHING), {"until_time": "2026-01-01"}, "until_time must be a datetime"),
    (
        asyncrestore.restore,
        ("s", NOTHING),
        {"allow_code": "my.app/valid?"},
        "allow_code must be a list of texts",
    ),
    (asyncrestore.restore, ("s", NOTHING), {"selection": {}}, "selection must be a Selection, and is a dict"),
    (asyncrestore.restore, ("s", NOTHING), {"selection": Selection(), "until_t": 5}, "Give selection alone"),
    (asyncrestore.restore, ("s", NOTHING), {"spot_check": "all"}, "spot_check must be a number from 0 to 1"),
    (asyncrestore.restore, ("s", NOTHING), {"patience_s": -1}, "patience_s must be a number of seconds"),
    (asyncrestore.verify, ({},), {}, "store must be a Store"),
    (
        asyncrestore.verify,
        ("s",),
        {"max_differences": 0},
        "max_differences must be an integer, at least 1, and is 0",
    ),
    (asyncrestore.verify_copy, ("s", NOTHING), {"expect_t": "9"}, "expect_t must be an integer"),
    (asyncrestore.verify_backup, ("s",), {"expect_t": datetime.now(UTC)}, "and is a datetime"),
    (asyncrestore.info, (7,), {}, "place must be a Store or a Database"),
    (asyncrestore.system_info, (7,), {}, "uri must be a text"),
    (asyncrestore.query, ("s", b"SELECT 1"), {}, "sql must be a text"),
    (asyncrestore.copy, (7, "s"), {}, "source must be a Store"),
    (asyncrestore.delete, ("s", None), {}, "name must be a text, and is None"),
    (
        asyncrestore.compact,
        ("s",),
        {"segment_size": None},
        "segment_size must be an integer, at least 1, and is None",
    ),
    (
        asyncrestore.repair,
        (NOTHING, "s"),
        {"parallel": 0},
        "parallel must be an integer, at least 1, and is 0",
    ),
    (
        asyncrestore.backup,
        (NOTHING, "s"),
        {"encryption": "key"},
        "encryption must be 32 bytes, a KmsKey or a SigningKey",
    ),
]


@pytest.mark.parametrize(("function", "places", "options", "says"), WRONG)
async def test_a_wrong_argument_is_named(
    function: Callable[..., Any], places: tuple[Any, ...], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        await function(*places, **options)
    assert says in str(caught.value)


async def test_no_secret_in_such_an_error() -> None:
    with pytest.raises(UsageError) as caught:
        await asyncrestore.backup(NOTHING, "s", parallel="datomic:sql://x?password=hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


async def test_a_path_is_a_directory(tmp_path: Path) -> None:
    """Whatever it is called: a path is no URI."""
    directory = tmp_path / "s3:" / "datomic:local:"
    for key, data in small_backup.objects().items():
        await FilesystemStore(directory).publish("shop", key, data)
    assert (await asyncrestore.verify_backup(directory)).ok
    assert (await asyncrestore.store_info(directory)).backups[0].name == "shop"
    async with asyncrestore.open_store(directory) as store:
        assert await store.names() == ["shop"]
    assert (await asyncrestore.copy(directory, tmp_path / "copy")).ok


@pytest.mark.parametrize(("contract", "methods"), [(Store, "publish"), (Database, "values_of")])
def test_a_forgotten_method_is_named(contract: type, methods: str) -> None:
    names = set(contract.__abstractmethods__) - {methods}  # type: ignore[attr-defined]
    mine = type("Mine", (contract,), dict.fromkeys(names, print))
    with pytest.raises(TypeError, match=f"Mine.*{methods}"):
        mine()


async def test_a_store_need_not_delete() -> None:
    assert isinstance(MemoryStore(), Store)
