"""An S3 server on this machine, in a process of its own: `python -m bench.s3` prints its address."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from moto.server import ThreadedMotoServer

from bench.children import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 60.0
BUCKET = "bench"
KEYS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",  # else credentials are looked for beyond this machine
}


@contextmanager
def s3_server() -> Iterator[tuple[str, dict[str, str]]]:
    """The URI of an empty store, and the environment to use it with. Raises `BenchError` if none starts."""
    command = [sys.executable, "-m", "bench.s3"]
    environment = {**os.environ, **KEYS}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            ready, _, _ = select.select([server.stdout], [], [], START_S)
            endpoint = server.stdout.readline().strip() if ready else ""
            if not endpoint:
                raise BenchError("the S3 server did not start")
            yield f"s3://{BUCKET}/backups?endpoint-url={endpoint}", KEYS
        finally:
            server.stdin.close()  # at which it ends
            try:
                server.wait(START_S)
            except subprocess.TimeoutExpired:
                server.kill()


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
    print(endpoint, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
