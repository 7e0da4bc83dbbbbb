"""Datomic Pro's peer: what is particular to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.runtime import bridge_command
from asyncrestore.datomic.uri import LOCAL, PEER
from asyncrestore.errors import AsyncRestoreError, NotFound, SetupFailed, UsageError
from asyncrestore.jobs.info import DatabaseInfo, info
from asyncrestore.model.log import tx_to_t
from tests.histories import PEOPLE, SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from asyncrestore.datomic.database import Connector
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio


async def test_errors_on_the_way_to_a_database_have_a_kind_and_hide_secrets(connector: Connector) -> None:
    with pytest.raises(NotFound, match=r"datomic:mem://nowhere: .*Could not find nowhere"):
        await connector.open("datomic:mem://nowhere")
    with pytest.raises(UsageError, match="Invalid database URI"):
        await connector.open("datomic:floppy://a/b?", create=True)
    with pytest.raises(UsageError, match="Invalid database URI") as caught:
        await connector.open("datomic:floppy://a/b?password=secret", create=True)
    assert "secret" not in str(caught.value)
    for _ in range(2):
        with pytest.raises(
            AsyncRestoreError, match=r"library .* is missing .*ASYNCRESTORE_PEER_JARS"
        ) as missing:
            await connector.open("datomic:ddb://us-east-1/table/db?aws_secret_key=secret")
        assert "secret" not in str(missing.value)
    with pytest.raises(AsyncRestoreError, match="ASYNCRESTORE_PEER_JARS"):
        await connector.open("datomic:sql://db?jdbc:nosuch://h/d")


async def test_no_secret_is_told_of_a_system() -> None:
    with pytest.raises(NotFound, match=r"^datomic:mem://\?\.\.\. has no databases"):
        await info("datomic:mem://?password=secret")


async def test_databases_are_listed(connector: Connector) -> None:
    for name in ("listed-b", "listed-a"):
        await connector.open(f"datomic:mem://{name}", create=True)
    names = await connector.databases("datomic:mem://")
    assert [name for name in names if name.startswith("listed")] == ["listed-a", "listed-b"]


async def test_t_is_sparse_and_info_tells_it(new_database: NewDatabase) -> None:
    empty, database = await new_database(of=PEER), await new_database(SCHEMA, *PEOPLE[:2], of=PEER)
    nothing, found = await info(empty), await info(database)
    assert isinstance(nothing, DatabaseInfo)
    assert isinstance(found, DatabaseInfo)
    assert nothing.last_instant is None
    # Entities take their numbers from the same counter: the three of the second transaction are 1002 to 1004.
    _, log = await database.read_log(0, 2000, size=1_000_000)
    assert [tx_to_t(tx) for tx in log.txs()] == [1000, 1001, 1005]
    assert (found.bootstrap_t, found.basis_t) == (999, 1005)
    assert found.last_instant is not None
    assert found.identity == database.identity != empty.identity


async def test_jars_of_a_storage_come_last_and_to_the_peer_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "driver.jar").touch()
    monkeypatch.setenv("ASYNCRESTORE_PEER_JARS", str(tmp_path / "driver.jar"))
    peer, local = await bridge_command(PEER), await bridge_command(LOCAL)
    assert peer[peer.index("-cp") + 1].endswith(f":{tmp_path / 'driver.jar'}")
    assert "driver.jar" not in " ".join(local)


async def test_jars_of_a_storage_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A JVM passes over them: the error would be that a library is missing."""
    monkeypatch.setenv("ASYNCRESTORE_PEER_JARS", f"{tmp_path}/*:{tmp_path}/driver.jar")
    with pytest.raises(SetupFailed, match=f"PEER_JARS names {tmp_path}/driver.jar, which is not"):
        await bridge_command(PEER)
