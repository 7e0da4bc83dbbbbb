"""Answers of a server, of which no more is read than an answer of S3 can have.

The AWS client reads the whole of an answer that is not an object: a page of a listing, or an error. A server
that sends without end would fill the memory.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from typing_extensions import override

from asyncrestore.errors import StoreFailed

MOST_BYTES = 16 << 20
"""A listing's page has 1,000 keys of at most 1,024 bytes, each of which may be written with six."""

_PIECE = 1 << 16
_ERROR = 300
"""The first status whose answer is read whole even where an object was asked for."""


class BoundedSession(AIOHTTPSession):
    """The session of the AWS client, which reads answers up to `MOST_BYTES`; objects are read as a stream."""

    @override
    async def send(self, request: Any) -> Any:
        """Sends a request; returns the answer, read unless it is to be a stream.

        Raises:
            StoreFailed: the answer is longer than one of S3 can be.
        """
        stream, request.stream_output = request.stream_output, True
        try:
            answer = await super().send(request)
        finally:
            request.stream_output = stream
        if not stream or answer.status_code >= _ERROR:
            # The client's own property for it, which reads it where it is not set.
            answer._content = await _whole(answer.raw, request)  # noqa: SLF001
        return answer


async def _whole(raw: aiohttp.ClientResponse, request: Any) -> bytes:
    content = bytearray()
    try:
        while piece := await raw.content.read(_PIECE):
            content += piece
            if len(content) > MOST_BYTES:
                raise StoreFailed(f"The server sends an answer longer than {MOST_BYTES:,} bytes")
    except TimeoutError as exc:
        raise ReadTimeoutError(error=exc, endpoint_url=request.url) from exc
    except aiohttp.ClientError as exc:
        raise ConnectionClosedError(error=exc, request=request, endpoint_url=request.url) from exc
    finally:
        if not raw.content.at_eof():
            raw.close()
    return bytes(content)
