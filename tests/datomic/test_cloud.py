"""Datomic Cloud and the peer server: the real clients against a server of their protocol."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from asyncrestore.datomic.database import BridgeDatabase, open_connector
from asyncrestore.errors import NotAuthorized, NotFound, Unavailable
from asyncrestore.jobs.backup import backup
from asyncrestore.jobs.restore import restore
from asyncrestore.jobs.verify import verify
from asyncrestore.model import positions
from asyncrestore.model.commit import TxData
from asyncrestore.pipeline.outcomes import Outcome, judge
from asyncrestore.stores.memory import MemoryStore
from asyncrestore.testing import check_database
from tests.histories import ODD
from tests.support.cloud.server import ACCESS_KEY, SECRET, CloudServer, open_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from asyncrestore.datomic.database import Connector
    from tests.support.cloud.server import Flavour
    from tests.support.databases import NewDatabase

pytestmark = pytest.mark.anyio

_numbers = itertools.count()
_FLAVOURS: tuple[Flavour, ...] = ("cloud", "peer-server")
both_flavours = pytest.mark.parametrize("flavour", _FLAVOURS)


@pytest.fixture(scope="module")
async def started(
    connector: Connector, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[CloudServer]:
    """The server of this module, and the environment in which its clients find the key files."""
    assert connector  # what ends later must have begun before
    with pytest.MonkeyPatch.context() as patch:
        async with open_server(tmp_path_factory.mktemp("cloud")) as server:
            patch.setenv("JAVA_TOOL_OPTIONS", server.place.java_options())
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            patch.setenv("ASYNCRESTORE_PEER_SERVER_ACCESS_KEY", ACCESS_KEY)
            patch.setenv("ASYNCRESTORE_PEER_SERVER_SECRET", SECRET)
            yield server


@pytest.fixture(scope="module")
async def servers(started: CloudServer) -> AsyncIterator[Connector]:
    """Opens databases of the server."""
    assert started.ports
    async with open_connector() as connector:
        yield connector


@pytest.fixture
def server(started: CloudServer) -> Iterator[CloudServer]:
    """The server, without the faults of other tests."""
    started.set_faults()
    yield started
    started.set_faults()


@pytest.fixture
def new(servers: Connector, server: CloudServer) -> NewDatabase:
    """Makes a database on the server, and puts transactions (EDN) into it."""

    async def make(*transactions: str, flavour: Flavour = "cloud") -> BridgeDatabase:
        name = f"db{next(_numbers)}"
        if flavour == "peer-server":
            server.create(name)
        database = await servers.open(server.uri(name, flavour), create=flavour == "cloud")
        if transactions:
            await database.transact_edn(transactions)
        return database

    return make


@both_flavours
async def test_they_keep_their_promises(new: NewDatabase, flavour: Flavour) -> None:
    database = await new(flavour=flavour)
    assert database.identity
    assert not database.ordered
    await check_database(database)


async def test_errors_whose_message_alone_has_their_name(new: NewDatabase, server: CloudServer) -> None:
    database = await new()
    server.set_faults(errors_in_message=True)
    await check_database(database)


@both_flavours
async def test_a_history_goes_there_and_back(
    new: NewDatabase, new_database: NewDatabase, flavour: Flavour
) -> None:
    source, there, here = await new_database(*ODD), await new(flavour=flavour), await new_database()
    store = MemoryStore()

    await restore(source, there)
    await backup(there, store)
    await restore(store, here)

    assert (await verify(source, against=there)).problems == []
    assert (await verify(store, live=there)).problems == []
    assert (await verify(there, against=here)).problems == []


async def test_faults_change_nothing(
    new: NewDatabase, new_database: NewDatabase, server: CloudServer
) -> None:
    source, target, store = await new_database(*ODD), await new(), MemoryStore()
    server.set_faults(
        # Each once for certain, and more by chance.
        {"of": "reads", "fault": "html-after", "at": [8]},
        {"of": "transact", "fault": "cut-body", "at": [6]},
        {"of": "transact", "fault": "503-after", "at": [9]},
        {"of": "transact", "fault": "503-before", "at": [12]},
        {"of": "transact", "fault": "cut-after", "at": [15]},
        {"of": "reads", "fault": "cut-body", "chance": 0.1},
        {"of": "reads", "fault": "html-after", "chance": 0.1},
        {"of": "transact", "fault": "cut-body", "chance": 0.1},
        {"of": "transact", "fault": "503-after", "chance": 0.1},
        {"of": "transact", "fault": "503-before", "chance": 0.1},
        {"of": "transact", "fault": "cut-after", "chance": 0.1},
        seed=18,
    )
    for _ in range(10):  # while it installs what it needs, a restore stops at a fault, and is run again
        with suppress(Unavailable):
            await restore(source, target)
            break
    await backup(target, store)
    assert (await verify(store, live=target)).problems == []
    assert (await verify(source, against=target)).problems == []
    assert set(server.counts()["faults"]) == {
        "html-after",
        "cut-body",
        "503-after",
        "503-before",
        "cut-after",
    }


# Reading

NUMBER = """[{:db/ident :number :db/valueType :db.type/long :db/cardinality :db.cardinality/one
    :db/unique :db.unique/identity}]"""


async def _look_up(database: BridgeDatabase) -> Any:
    return await database.entities_with("number", [7])


async def _log(database: BridgeDatabase) -> Any:
    basis = await database.basis_t()
    return list((await database.read_log(0, basis + 1, size=1_000_000))[1].rows())


async def _schema(database: BridgeDatabase) -> Any:
    return sorted(map(str, (await database.schema_history()).rows()))


@pytest.mark.parametrize(
    ("operation", "read"),
    [
        ("with-db", BridgeDatabase.basis_t),
        ("tx-range", _log),
        ("datoms", _schema),
        ("q", _look_up),
    ],
)
@pytest.mark.parametrize("fault", ["cut-body", "html-after", "500-before", "429-before"])
async def test_a_read_is_made_again(
    new: NewDatabase,
    server: CloudServer,
    operation: str,
    read: Callable[[BridgeDatabase], Awaitable[Any]],
    fault: str,
) -> None:
    database = await new(NUMBER, "[{:number 7}]")
    right = await read(database)
    server.set_faults({"of": operation, "fault": fault, "at": [1]})
    assert await read(database) == right
    assert server.counts()["faults"] == {fault: 1}


@pytest.mark.parametrize("fault", ["cut-body", "html-after"])
@pytest.mark.parametrize("operation", ["resolve-db", "status"])
async def test_a_connection_is_made_again(
    new: NewDatabase, servers: Connector, server: CloudServer, operation: str, fault: str
) -> None:
    database = await new()
    server.set_faults({"of": operation, "fault": fault, "at": [1]})
    assert (await servers.open(database.uri)).identity == database.identity


async def test_floats_are_floats(new: NewDatabase) -> None:
    schema = "[{:db/ident :f :db/valueType :db.type/float :db/cardinality :db.cardinality/one}]"
    database = await new(schema, "[{:f 0.1}]")
    _, chunk = await database.read_log(basis := await database.basis_t(), basis + 1, size=1)
    assert "f" in chunk.kinds


# Writing


def _transaction(text: str) -> TxData:
    return TxData(1, [positions.tempid(1), positions.ident("db/doc"), "s", text], [], None)


async def test_a_fault_without_a_name_is_an_outage(new: NewDatabase, server: CloudServer) -> None:
    """Where nobody sends a transaction again, the command is to be run again."""
    database = await new()
    server.set_faults({"of": "transact", "fault": "500-before", "at": [1]})
    with pytest.raises(Unavailable, match="Server Error"):
        await database.transact_edn([NUMBER])
    await database.transact_edn([NUMBER])


async def test_refused_keys_are_no_refusal_of_the_transaction(new: NewDatabase, server: CloudServer) -> None:
    database = await new()
    server.set_faults({"of": "transact", "fault": "refused", "chance": 1})
    submission = await database.submit([_transaction("refused")])
    with pytest.raises(NotAuthorized, match="Forbidden"):
        await submission.result()


@pytest.mark.parametrize(
    ("fault", "outcome", "committed"),
    [
        ("429-before", Outcome.BUSY, 0),
        ("502-before", Outcome.UNKNOWN, 0),
        ("503-after", Outcome.UNKNOWN, 1),
        ("504-after", Outcome.UNKNOWN, 1),
        ("500-before", Outcome.UNKNOWN, 0),
        ("cut-before", Outcome.UNKNOWN, 0),
        ("cut-after", Outcome.UNKNOWN, 1),
        ("cut-body", Outcome.UNKNOWN, 1),
        ("html-before", Outcome.UNKNOWN, 0),
        ("html-after", Outcome.UNKNOWN, 1),
        ("413-before", Outcome.UNKNOWN, 0),
    ],
)
async def test_what_a_fault_leaves_open(
    new: NewDatabase, server: CloudServer, fault: str, outcome: Outcome, committed: int
) -> None:
    database = await new()
    server.set_faults({"of": "transact", "fault": fault, "chance": 1.0})
    result = await (await database.submit([_transaction("x")])).result()
    assert not result.committed
    assert judge(result.anomaly, previous=0) is outcome
    assert server.counts().get("commits", 0) == committed


async def test_what_was_refused_is_not_open(new: NewDatabase) -> None:
    database = await new()
    result = await (await database.submit([_transaction("x" * 4097)])).result()
    assert result.anomaly is not None
    assert result.anomaly.category == "incorrect"
    assert judge(result.anomaly, previous=0) is Outcome.REJECTED


# Access


async def test_a_database_that_is_not_there(servers: Connector, server: CloudServer) -> None:
    with pytest.raises(NotFound, match="Unable to find keyfile") as caught:
        await servers.open(server.uri("none"))
    assert "names of the system and of the database" in caught.value.hint
    with pytest.raises(NotFound, match="has no database none") as caught:
        await servers.open(server.uri("none", "peer-server"))
    with pytest.raises(NotFound, match="has no database none, and cannot make one") as caught:
        await servers.open(server.uri("none", "peer-server"), create=True)
    assert "-d DB,URI" in caught.value.hint


async def test_a_system_that_is_not_there(servers: Connector, server: CloudServer) -> None:
    with pytest.raises(NotFound, match="Unable to find keyfile"):
        await servers.open(server.uri("db").replace("//tests/", "//prod/"), create=True)


async def test_a_peer_servers_keys_and_certificate(
    new: NewDatabase, servers: Connector, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await new(flavour="peer-server")
    uri = database.uri.partition("?")[0]
    with pytest.raises(NotAuthorized, match="PKIX") as caught:
        await servers.open(uri)
    assert "trust-certs" in caught.value.hint
    monkeypatch.setenv("ASYNCRESTORE_PEER_SERVER_SECRET", "another-secret")
    with pytest.raises(NotAuthorized, match="refuses the keys") as caught:
        await servers.open(server.uri(database.name, "peer-server"))
    assert "another-secret" not in str(caught.value) + caught.value.hint


async def test_without_credentials(
    new: NewDatabase, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await new()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with open_connector() as connector:
        with pytest.raises(
            NotAuthorized, match=r"Forbidden to read keyfile at s3://.*/read/\.keys"
        ) as caught:
            await connector.open(server.uri(database.name))
    assert "s3:GetObject" in caught.value.hint


async def test_a_database_that_was_made_again_is_another_one(
    new: NewDatabase, servers: Connector, server: CloudServer
) -> None:
    database = await new()
    server.delete(database.name)
    again = await servers.open(database.uri, create=True)
    with pytest.raises(NotFound, match="Db not found") as caught:
        await database.basis_t()
    assert "perhaps made again" in caught.value.hint
    assert again.identity != database.identity


async def test_rotated_keys_go_on_by_themselves(new: NewDatabase, server: CloudServer) -> None:
    database = await new()
    before = await database.basis_t()
    server.rotate_keys()
    await database.transact_edn(['[{:db/doc "after"}]'])
    assert await database.basis_t() == before + 1
