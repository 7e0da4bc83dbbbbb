"""A server of the protocol of Datomic's clients, as Datomic Cloud and as a peer server, on this machine.

Databases, transactions and errors are Datomic Local's. Moto has the key files that a client of Cloud
reads.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote, urlencode

import anyio
import anyio.to_thread
import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from asyncrestore.datomic.cache import cache_dir
from asyncrestore.datomic.java import jvm_environment
from asyncrestore.datomic.runtime import command_for
from tests.support.cloud.certificates import PASSWORD, Certificates, make_certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import pytest

Flavour: TypeAlias = Literal["cloud", "peer-server"]

SOURCES = Path(__file__).parent / "jvm"
SYSTEM, REGION = "tests", "us-east-1"
ACCESS_KEY, SECRET = "peer-access-key", "peer-secret"
"""Of the peer server."""
START_S, CONTROL_S, END_S = 60.0, 20.0, 10.0
_REGIONS = """<XML>
  <Regions>
    <Region>
      <Name>{region}</Name>
      <Endpoint>
        <ServiceName>s3</ServiceName>
        <Http>false</Http>
        <Https>true</Https>
        <Hostname>127.0.0.1:{port}</Hostname>
      </Endpoint>
    </Region>
  </Regions>
</XML>
"""


@dataclass(frozen=True)
class Place:
    """What is around the server: certificates, and moto's S3, with TLS, that has the key files."""

    directory: Path
    certificates: Certificates
    s3_port: int
    bucket: str

    @property
    def s3(self) -> str:
        """The URL of S3."""
        return f"https://127.0.0.1:{self.s3_port}"

    def client(self) -> Any:
        """A client of S3 for the tests' own use."""
        return boto3.client(
            "s3",
            endpoint_url=self.s3,
            aws_access_key_id="access-key-of-the-tests",
            aws_secret_access_key="secret-key-of-the-tests",  # noqa: S106
            region_name=REGION,
            verify=str(self.certificates.authority),
        )

    @property
    def regions(self) -> Path:
        """A table of regions for the AWS SDK: the only one has its S3 on this machine."""
        return self.directory / "regions.xml"

    def java_options(self) -> str:
        """What a JVM with a client of Cloud needs, for `JAVA_TOOL_OPTIONS` or `JDK_JAVA_OPTIONS`."""
        return " ".join(
            [
                f"-Dcom.amazonaws.regions.RegionUtils.fileOverride={self.regions}",
                f"-Djavax.net.ssl.trustStore={self.certificates.trust_store}",
                f"-Djavax.net.ssl.trustStorePassword={PASSWORD}",
            ]
        )


class CloudServer:
    """A running server."""

    def __init__(self, place: Place, pid: int, ports: dict[str, int]) -> None:
        self.place = place
        self.pid = pid
        self.ports = ports

    @property
    def endpoint(self) -> str:
        """Of the Cloud flavour."""
        return f"http://127.0.0.1:{self.ports['cloud']}"

    def uri(self, db: str, flavour: Flavour = "cloud", **options: str) -> str:
        """The URI of a database; further options are added to it."""
        if flavour == "cloud":
            query = urlencode({"region": REGION, "endpoint": self.endpoint, **options})
            return f"datomic:cloud://{SYSTEM}/{quote(db)}?{query}"
        query = urlencode({"trust-certs": str(self.place.certificates.authority), **options})
        return f"datomic:peer-server://127.0.0.1:{self.ports['peer-server']}/{quote(db)}?{query}"

    def set_faults(self, *rules: dict[str, Any], **settings: Any) -> None:
        """Replaces all faults and settings, and begins new counts. Without arguments there are no faults.

        Args:
            rules: each `{"of": OPERATION, "fault": NAME}` with `"at": [1, 5]`, the numbers of its posts from
                now on, or `"chance": 0.1`. OPERATION is a name like `transact` or `tx-range`; `reads` is all
                but `transact`, `all` is all.
            settings: `seed`; `latency_ms` of a round trip; `jitter_ms`, by up to which a post arrives later;
                `late_ms`; `largest_body` in bytes; `errors_in_message`: anomalies have all in the message.
        """
        self._control("faults", {"rules": list(rules), **settings})

    def counts(self) -> dict[str, Any]:
        """What has happened since `set_faults`: `posts` by operation, `commits`, `anomalies`, `faults`."""
        return self._control("counts")

    def create(self, db: str) -> None:
        """Makes a database, for the clients that cannot. One that is there stays."""
        self._control("create", {"db": db})

    async def new(self, db: str, flavour: str) -> str:
        """Returns the URI of a new database, which a client of Cloud can make itself."""
        if flavour == "peer-server":
            await anyio.to_thread.run_sync(self.create, db)
            return self.uri(db, "peer-server")
        return self.uri(db)

    def client_environment(self) -> dict[str, str]:
        """The variables that the process of a client needs."""
        options = f"{os.environ.get('JDK_JAVA_OPTIONS', '')} {self.place.java_options()}"
        return {
            "JDK_JAVA_OPTIONS": options.strip(),
            "AWS_ACCESS_KEY_ID": "access-key-of-the-tests",
            "AWS_SECRET_ACCESS_KEY": "secret-key-of-the-tests",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ASYNCRESTORE_PEER_SERVER_ACCESS_KEY": ACCESS_KEY,
            "ASYNCRESTORE_PEER_SERVER_SECRET": SECRET,
        }

    def meet_clients(self, patch: pytest.MonkeyPatch) -> None:
        """Sets these variables for the clients that are started from now on."""
        for name, value in self.client_environment().items():
            patch.setenv(name, value)

    def delete(self, db: str) -> None:
        """Deletes a database, while clients may have it open."""
        self._control("delete", {"db": db})

    def rotate_keys(self) -> None:
        """Makes new keys, and puts them into the key files: the old ones are no longer accepted."""
        self._control("rotate")

    def expire_tokens(self) -> None:
        """Forgets the tokens of all answers in chunks, and of `with`."""
        self._control("expire")

    def restart(self, down_ms: int = 0) -> None:
        """Cuts all connections, forgets tokens, makes new keys, and listens again after `down_ms`.

        The databases stay. Returns when the ports are closed.
        """
        self._control("restart", {"down_ms": down_ms})

    def _control(self, command: str, message: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.ports["control"], timeout=CONTROL_S)
        try:
            connection.request("POST", f"/{command}", json.dumps(message or {}))
            answer: dict[str, Any] = json.loads(connection.getresponse().read() or "null") or {}
        finally:
            connection.close()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer


class _Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log(self, *_: object) -> None:
        pass


@contextmanager
def open_place(directory: Path) -> Iterator[Place]:
    """Makes certificates in a directory, and starts moto's server with a bucket for the key files."""
    certificates = make_certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    app = DomainDispatcherApplication(create_backend_app)
    s3 = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet, ssl_context=context)
    thread = threading.Thread(target=s3.serve_forever)
    thread.start()
    # All of moto's servers in a process have the same buckets.
    place = Place(directory, certificates, s3.server_port, f"keys-{secrets.token_hex(8)}")
    try:
        place.regions.write_text(_REGIONS.format(region=REGION, port=s3.server_port), "utf-8")
        place.client().create_bucket(Bucket=place.bucket)
        yield place
    finally:
        s3.shutdown()
        thread.join()
        s3.server_close()


@asynccontextmanager
async def open_server(directory: Path) -> AsyncIterator[CloudServer]:
    """Runs a server as a process for as long as the context lasts. Its files are in `directory`."""
    command = await command_for(SOURCES, "cloudserver", await anyio.to_thread.run_sync(cache_dir))
    with open_place(directory) as place, (directory / "server.log").open("wb") as log:
        config = {
            "s3": place.s3,
            "bucket": place.bucket,
            "system": SYSTEM,
            "region": REGION,
            "access-key": ACCESS_KEY,
            "secret": SECRET,
            "keystore": str(place.certificates.key_store),
            "password": PASSWORD,
        }
        *java, main = command
        process = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
            [*java, *place.java_options().split(), main, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=jvm_environment(),
        )
        try:
            yield CloudServer(place, process.pid, await _ports(process, directory))
        finally:
            _end(process)


async def _ports(process: subprocess.Popen[bytes], directory: Path) -> dict[str, int]:
    """Returns the ports, by what is there, once the server listens."""
    assert process.stdout is not None
    with anyio.fail_after(START_S):
        line = await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
    if not line:
        raise RuntimeError((directory / "server.log").read_text("utf-8", "replace")[-2000:])
    ports: dict[str, int] = json.loads(line)
    return ports


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server: the end of its stdin is the end of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_S)
    process.stdout.close()
