"""Datomic Local: which databases there are, and when that cannot be told."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic import runtime
from asyncrestore.datomic.bridge import start_bridge
from asyncrestore.datomic.database import open_connector
from asyncrestore.datomic.runtime import bridge_command
from asyncrestore.errors import AsyncRestoreError, DatabaseFailed, NotAuthorized, NotFound, SetupFailed
from tests.support.refused import mode, no_more_files, nobody, unprivileged

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import Connector

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage directory with the system `sys` and in it the database `shop`, which no process has open."""
    directory = tmp_path_factory.mktemp("storage")
    async with open_connector() as own:
        await own.open(f"datomic:local://sys/shop?storage-dir={directory}", create=True)
    return directory


def place(storage: Path, **more: Any) -> dict[str, Any]:
    return {"storage-dir": str(storage), "system": "sys", "db": "shop", **more}


def files(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in directory.rglob("*")}


async def test_what_counts_as_a_database(storage: Path, tmp_path: Path, connector: Connector) -> None:
    system = tmp_path / "sys"
    (system / "empty").mkdir(parents=True)
    (system / "file").touch()
    (system / "linked").symlink_to(storage / "sys" / "shop")
    (system / "lost").mkdir()
    (system / "lost" / "log.idx").write_bytes(bytes(8))
    bridge = await connector.bridge("local")
    assert await bridge.request("databases", place(tmp_path)) == ("linked",)
    for nowhere in (place(tmp_path, system="none"), place(tmp_path / "none"), place(system / "file")):
        assert await bridge.request("databases", nowhere) == ()
    for db in ("empty", "file", "none"):
        with pytest.raises(NotFound, match=f"no database {db} in system sys"):
            await bridge.request("open", place(tmp_path, db=db))
    assert not (system / "none").exists()
    with pytest.raises(DatabaseFailed, match=f"{system}/lost has a database's log.idx, and no db.log"):
        await bridge.request("open", place(tmp_path, db="lost", create=True))
    assert list((system / "lost").iterdir()) == [system / "lost" / "log.idx"]


async def test_a_link_to_a_disk_that_is_not_mounted_is_not_taken_for_none(
    tmp_path: Path, connector: Connector
) -> None:
    bridge = await connector.bridge("local")
    for link in (tmp_path / "a" / "sys" / "shop" / "db.log", tmp_path / "b" / "sys", tmp_path / "c"):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tmp_path / "not mounted")
        there = place(tmp_path / link.relative_to(tmp_path).parts[0])
        for operation, create in (("databases", False), ("open", False), ("open", True)):
            with pytest.raises(DatabaseFailed, match=f"{link} is a link that leads nowhere") as error:
                await bridge.request(operation, {**there, "create": create})
            assert error.value.hint.startswith("Mount the disk")


@nobody
async def test_what_may_not_be_looked_into_is_not_taken_for_empty(storage: Path) -> None:
    async def refused(operation: str, path: Path, **more: Any) -> None:
        with pytest.raises(NotAuthorized, match=f"{path}.*: access denied. Check the owner and mode"):
            await bridge.request(operation, place(storage, **more))

    before, system = files(storage), storage / "sys"
    async with start_bridge(unprivileged(await bridge_command())) as bridge:
        for directory, bits in ((storage, 0), (system, 0), (system, 0o444), (system / "shop", 0)):
            with mode(directory, bits):
                await refused("databases", directory)
                await refused("open", directory)
                await refused("open", directory, create=True)
        with mode(system / "shop" / "db.log", 0):
            await refused("open", system / "shop" / "db.log")
        with mode(system, 0o111):
            await refused("databases", system)
            await bridge.request("open", place(storage))  # whoever knows its name may
    assert files(storage) == before


async def test_too_many_open_files_are_not_taken_for_an_empty_system(storage: Path) -> None:
    before = files(storage)
    async with start_bridge(await bridge_command()) as bridge:
        # Any database loads the code that opens one.
        await bridge.request("open", {**place(storage), "storage-dir": ":mem", "create": True})
        with no_more_files(bridge.pid):
            for operation in ("databases", "open"):
                with pytest.raises(AsyncRestoreError, match=f"{storage}.*Too many open files") as caught:
                    await bridge.request(operation, place(storage, create=True))
                assert caught.value.exit_code == AsyncRestoreError.exit_code
                assert "ulimit -n" in caught.value.hint
    assert files(storage) == before


async def test_a_bridge_that_cannot_be_started(storage: Path) -> None:
    command = await bridge_command()
    with no_more_files(), pytest.raises(SetupFailed, match=r"java cannot be started: Too many") as caught:
        async with start_bridge(command):
            pass
    assert "ulimit -n" in caught.value.hint
    with pytest.raises(SetupFailed, match="nothing cannot be started: No such file") as caught:
        async with start_bridge([str(storage / "nothing")]):
            pass


async def test_a_limit_of_open_files_that_is_too_low_for_a_jvm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(runtime, "OPEN_FILES", hard)
    await bridge_command()
    monkeypatch.setattr(runtime, "OPEN_FILES", hard + 1)
    with pytest.raises(SetupFailed, match=f"Only {hard} files may be open .* too many open files") as caught:
        await bridge_command()
    assert "ulimit -n" in caught.value.hint
