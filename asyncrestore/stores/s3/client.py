"""Opens a store on S3, or a client of another AWS service: its settings and its lifetime."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import aioboto3
import anyio
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.utils import parse_timestamp

from asyncrestore.stores.s3.answers import BoundedSession
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
    """Opens a store on S3 for as long as the context lasts; sends no request yet.

    Raises:
        UsageError: the AWS environment is not usable: it names a profile that does not exist, for example.
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
    """Opens a client of an AWS service for as long as the context lasts.

    Args:
        service: its name in the AWS SDK.
        where: display name of what is opened, for messages.
        region: None for the AWS environment's.
        profile: None for the AWS environment's.
        endpoint_url: None for the AWS environment's.
        settings: further settings of the client.

    Raises:
        UsageError: the AWS environment is not usable.
    """
    config = AioConfig(
        # `persist` makes all attempts: with one rule and one deadline, and it logs each of them.
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        http_session_cls=BoundedSession,
        # By default botocore adds checksums in trailers, which many S3 clones do not understand. Each write
        # here sends its checksum in a header.
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
        with anyio.move_on_after(_CLOSING_S, shield=True):  # even if cancelled, or its sockets stay open
            await opening.__aexit__(None, None, None)


def _timestamp(text: Any) -> datetime:
    """Reads a timestamp. botocore's own way takes half the time of a long listing."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return parse_timestamp(text)
