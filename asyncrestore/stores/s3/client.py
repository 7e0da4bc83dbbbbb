"""Opening a store on S3, or another service of AWS: the client, its settings and its lifetime."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aioboto3
import anyio
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.utils import parse_timestamp

from asyncrestore.stores.s3.errors import OPENING, s3_errors
from asyncrestore.stores.s3.retry import RetryPolicy
from asyncrestore.stores.s3.store import S3Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncrestore.stores.s3.uri import S3Place

_CLOSING_S = 5
_STYLES = {True: "path", False: "virtual", None: "auto"}


@asynccontextmanager
async def open_s3(place: S3Place, policy: RetryPolicy | None = None) -> AsyncIterator[S3Store]:
    """Opens a store on S3; nothing is asked of the server yet. Its connections last as long as the context.

    Raises:
        UsageError: the AWS environment is not in order, such as a profile that is not there.
    """
    options = {"addressing_style": _STYLES[place.path_style]}
    opening = open_client("s3", place.uri, place.region, place.profile, place.endpoint_url, s3=options)
    async with opening as client:
        yield S3Store(client, place, policy or RetryPolicy())


@asynccontextmanager
async def open_client(
    service: str,
    where: str,
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    **settings: Any,
) -> AsyncIterator[Any]:
    """Opens a client of a service of AWS for as long as the context lasts.

    Args:
        service: its name in the AWS SDK.
        where: what is opened, for people.
        region: without it the AWS environment's.
        profile: likewise.
        endpoint_url: likewise.
        settings: more of the client's configuration.

    Raises:
        UsageError: the AWS environment is not in order.
    """
    config = AioConfig(
        # `persist` makes all attempts: one rule, one deadline, and each is told.
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        # Without these botocore adds checksums in trailers, which many S3 clones do not understand. Ours goes
        # with every write as a header.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **settings,
    )
    with s3_errors(OPENING, where):
        session = AioSession()
        parsers = session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=_timestamp)
        aws = aioboto3.Session(botocore_session=session, profile_name=profile, region_name=region)
        # The stubs type each service by its literal name.
        opening = aws.client(service, endpoint_url=endpoint_url, config=config)  # type: ignore[call-overload]
        client = await opening.__aenter__()
    try:
        yield client
    finally:
        with anyio.move_on_after(_CLOSING_S, shield=True):  # also when cancelled: else its sockets stay open
            await opening.__aexit__(None, None, None)


def _timestamp(text: Any) -> datetime:
    """Reads a timestamp: botocore's own way takes half of a long listing's time."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return parse_timestamp(text)
