"""Servers on this machine that speak S3's protocol, and one that breaks on request."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import subprocess
import threading
import time
from collections import deque
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from asyncrestore.stores.keys import KmsKey
from tests.support.sdk import share_models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCESS_KEY, SECRET_KEY = "access-key-of-the-tests", "secret-key-of-the-tests"
VERSITYGW = os.environ.get("ASYNCRESTORE_TEST_VERSITYGW")
"""Path of the second server's program, where there is one; `make test-s3` builds it."""

_numbers = itertools.count()


@cache
def _client(endpoint: str) -> Any:
    """A client for the tests' own use."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )


class Bucket:
    """A bucket on a server."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.name = f"bucket{next(_numbers)}"
        self.client = _client(endpoint)
        self.client.create_bucket(Bucket=self.name)

    def uri(self, prefix: str = "backups", **options: str) -> str:
        """The URI of a store in it; another endpoint is one of the options."""
        named = {key.replace("_", "-"): value for key, value in options.items()}
        return f"s3://{self.name}/{prefix}?" + urlencode({"endpoint-url": self.endpoint, **named})

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def all_keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of moto's server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Versity gateway over a directory."""
    assert VERSITYGW is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY]
    directory = tmp_path_factory.mktemp("versitygw")
    command = [VERSITYGW, *keys, "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    """Waits until a server accepts connections: it says so in no other way."""
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nothing listens on port {port}")


@pytest.fixture(scope="session", params=["moto", *(["versitygw"] if VERSITYGW else [])])
def server(request: pytest.FixtureRequest) -> str:
    """The URL of each server in turn."""
    return cast("str", request.getfixturevalue(request.param))


@pytest.fixture(scope="session", autouse=True)
def _shared_models() -> None:
    share_models()


def set_aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of the tests, and nothing of a developer's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",  # else credentials are looked for beyond this machine
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The AWS environment of the tests."""
    set_aws_environment(monkeypatch)
    return monkeypatch


@pytest.fixture
def bucket(aws: pytest.MonkeyPatch, server: str) -> Bucket:
    """An empty bucket, on each server in turn."""
    assert aws
    return Bucket(server)


@pytest.fixture
def moto_bucket(aws: pytest.MonkeyPatch, moto: str) -> Bucket:
    """An empty bucket on moto's server, which checks no signatures: requests may be altered on their way."""
    assert aws
    return Bucket(moto)


class Exchange(BaseHTTPRequestHandler):
    """A request on its way to the server behind, in the hands of a fault."""

    protocol_version = "HTTP/1.1"

    def _exchange(self) -> None:
        proxy = cast("Proxy", self.server)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with proxy.lock:
            proxy.requests.append(f"{self.command} {urlsplit(self.path).path}")
            faults = proxy.faults.get(self.command)
            fault = faults.popleft() if faults else proxy.always.get(self.command, relay)
        fault(self)

    do_GET = do_PUT = do_HEAD = do_DELETE = _exchange  # noqa: N815

    def forward(self, *, without: str = "") -> tuple[int, dict[str, str], bytes]:
        """Asks the server behind; returns status, headers and body."""
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"expect", without.lower()}}
        connection = HTTPConnection(cast("Proxy", self.server).behind, timeout=30)
        try:
            connection.request(self.command, self.path, self.body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        unwanted = {"connection", "transfer-encoding", "content-length"}
        return response.status, {k: v for k, v in response.getheaders() if k.lower() not in unwanted}, content

    def answer(
        self, status: int, headers: dict[str, str], content: bytes, *, length: int | None = None
    ) -> None:
        """Answers; `length` is the content length in the headers."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, status: int, code: str, **headers: str) -> None:
        """Answers with one of S3's errors."""
        document = f"<Error><Code>{code}</Code><Message>scripted</Message></Error>"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer(status, {"Content-Type": "application/xml", **named}, document.encode())

    def drop(self) -> None:
        """Ends the connection."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


Fault: TypeAlias = "Callable[[Exchange], None]"


def relay(exchange: Exchange) -> None:
    """No fault."""
    exchange.answer(*exchange.forward())


def refuse(status: int, code: str, **headers: str) -> Fault:
    """One of S3's errors; nothing reaches the server behind."""
    return lambda exchange: exchange.refuse(status, code, **headers)


def lose_request(exchange: Exchange) -> None:
    """The connection ends before the server behind hears of it."""
    exchange.drop()


def lose_answer(exchange: Exchange) -> None:
    """The server behind does it, and its answer is lost."""
    exchange.forward()
    exchange.drop()


def cut_body(exchange: Exchange) -> None:
    """The answer ends in the middle of its body."""
    status, headers, content = exchange.forward()
    exchange.answer(status, headers, content[: len(content) // 2], length=len(content))
    exchange.drop()


def flip_byte(exchange: Exchange) -> None:
    """A byte in the middle of the answer's body is another one."""
    status, headers, content = exchange.forward()
    middle = len(content) // 2
    damaged = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    exchange.answer(status, headers, damaged)


def ignore_condition(exchange: Exchange) -> None:
    """A server that does not know `If-None-Match`."""
    exchange.answer(*exchange.forward(without="If-None-Match"))


class Proxy(ThreadingHTTPServer):
    """Stands before a server; applies a fault to each request that has one, and passes the others on.

    Attributes:
        faults: for a method, what happens to its next requests, one each.
        always: for a method, what happens to all others.
        requests: method and path of all so far.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.behind = urlsplit(behind).netloc
        self.faults: dict[str, deque[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.requests: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def then(self, method: str, *faults: Fault) -> None:
        """What happens to the next requests of a method."""
        self.faults.setdefault(method, deque()).extend(faults)

    def handle_error(self, *_: object) -> None:
        pass  # a client that was killed


@pytest.fixture(scope="session")
def started_proxy(moto: str) -> Iterator[Proxy]:
    with Proxy(moto) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


@pytest.fixture
def proxy(started_proxy: Proxy) -> Proxy:
    """A proxy before moto's server that makes faults on request."""
    started_proxy.faults, started_proxy.always, started_proxy.requests = {}, {}, []
    return started_proxy


@pytest.fixture
def kms(moto: str, aws: pytest.MonkeyPatch) -> Any:
    """The client of a key service, which the AWS environment names."""
    aws.setenv("AWS_ENDPOINT_URL_KMS", moto)
    return boto3.client(
        "kms",
        endpoint_url=moto,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )


@pytest.fixture
def kms_key(kms: Any) -> KmsKey:
    return KmsKey(kms.create_key()["KeyMetadata"]["Arn"])
