"""What is said where a server of Datomic cannot be reached, or something else answers."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from asyncrestore.datomic.uri import ACCESS_KEY_VARIABLE, SECRET_VARIABLE
from asyncrestore.errors import NotAuthorized, Unavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncrestore.datomic.database import Connector

pytestmark = pytest.mark.anyio

CLOUD = "datomic:cloud://prod/music?region=us-east-1&endpoint="
SECRET = "5ecr3t"  # noqa: S105 - none


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCESS_KEY_VARIABLE, "music")
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Page(BaseHTTPRequestHandler):
    """Answers every request with a page, as a gateway does."""

    def do_GET(self) -> None:
        page = b"<html>Sign in</html>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def web_port() -> Iterator[int]:
    """The port of a server that is not Datomic's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


async def test_an_endpoint_at_which_nobody_answers(connector: Connector, closed_port: int) -> None:
    uri = f"{CLOUD}http://127.0.0.1:{closed_port}"
    with pytest.raises(Unavailable, match=rf"{closed_port} cannot be reached: Connection refused") as caught:
        await connector.open(uri)
    assert "inside its VPC" in caught.value.hint
    with pytest.raises(Unavailable, match="through the SOCKS proxy at localhost"):
        await connector.open(f"{CLOUD}http://h.invalid&proxy-port={closed_port}")


async def test_an_endpoint_that_is_something_else(connector: Connector, web_port: int) -> None:
    with pytest.raises(UsageError, match="not one of Datomic Cloud: something else answers") as caught:
        await connector.open(f"{CLOUD}http://127.0.0.1:{web_port}/")
    assert "compute stack" in caught.value.hint


async def test_a_host_that_is_not_known(connector: Connector) -> None:
    with pytest.raises(Unavailable, match=r"https://h\.invalid has a host that is not known here") as caught:
        await connector.open(f"{CLOUD}https://h.invalid")
    assert "the system's name" in caught.value.hint


async def test_a_peer_server_needs_keys(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    with pytest.raises(NotAuthorized, match="No access key and secret") as caught:
        await connector.open("datomic:peer-server://127.0.0.1:1/music")
    assert SECRET_VARIABLE in caught.value.hint


@pytest.mark.usefixtures("keys")
async def test_a_peer_server_that_does_not_run(connector: Connector, closed_port: int) -> None:
    with pytest.raises(Unavailable, match="cannot be reached: Connection refused") as caught:
        await connector.open(f"datomic:peer-server://127.0.0.1:{closed_port}/music")
    assert SECRET not in str(caught.value) + caught.value.hint


@pytest.mark.usefixtures("keys")
async def test_a_peer_server_that_is_something_else(connector: Connector, web_port: int) -> None:
    with pytest.raises(UsageError, match="SSL") as caught:
        await connector.open(f"datomic:peer-server://127.0.0.1:{web_port}/music")
    assert "does not speak TLS" in caught.value.hint
    assert SECRET not in str(caught.value) + caught.value.hint


@pytest.mark.usefixtures("keys")
async def test_trusted_certificates_that_are_not_there(connector: Connector) -> None:
    with pytest.raises(UsageError, match="cannot be read: /nowhere") as caught:
        await connector.open("datomic:peer-server://127.0.0.1:1/music?trust-certs=/nowhere")
    assert "PEM" in caught.value.hint
