"""A store on S3 behind a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncrestore.stores.s3.client import open_s3
from asyncrestore.stores.s3.retry import RetryPolicy
from asyncrestore.stores.s3.store import S3Store
from asyncrestore.stores.s3.uri import S3Place, parse_s3_uri
from tests.support.s3 import Bucket, Proxy, set_aws_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from types_aiobotocore_s3 import S3Client

QUICK = RetryPolicy(total_s=20, attempt_s=10, first_s=0.001, longest_s=0.01)


@pytest.fixture(scope="module")
async def client(anyio_backend: str, started_proxy: Proxy) -> AsyncIterator[S3Client]:
    """A client for many tests: making one takes longer than most of them."""
    assert anyio_backend
    with pytest.MonkeyPatch.context() as patch:
        set_aws_environment(patch)
        async with open_s3(S3Place("none", endpoint_url=started_proxy.url)) as store:
            yield store._client


@pytest.fixture
def store(client: S3Client, moto_bucket: Bucket, proxy: Proxy) -> S3Store:
    """A store behind the proxy."""
    assert proxy
    return S3Store(client, parse_s3_uri(moto_bucket.uri()), QUICK)
