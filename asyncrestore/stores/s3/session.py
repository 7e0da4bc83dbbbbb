"""The HTTP session of AWS clients: it follows no redirect, and waits for no permission to send."""

from __future__ import annotations

import logging
import re
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import HTTPClientError
from botocore.handlers import add_expect_header
from typing_extensions import override

from asyncrestore.stores.s3.answers import BoundedSession

_REDIRECTIONS = frozenset({300, 301, 302, 303, 305, 307, 308})
_HEADER, _REGION = "x-amz-bucket-region", re.compile(r"[a-z0-9-]{1,63}")
logger = logging.getLogger(__name__)


class Redirected(HTTPClientError):
    """A server redirects to another place, which is not asked."""

    fmt = "it redirects to {host}, where no request is sent"


class DirectSession(BoundedSession):
    """Sends each request to the host that it is for, and to no other.

    aiohttp follows redirects, and takes `Authorization` out of a request to another host, but not the token
    of a session, nor the content. An answer that names the region of AWS in which a bucket is stays: botocore
    finds that region's host by its own rules. Without one it would ask the same host again, without end.
    """

    @override
    async def send(self, request: Any) -> Any:
        """Sends a request.

        Raises:
            Redirected: the answer is a redirection, and names no region.
        """
        answer = await super().send(request)
        if answer.status_code in _REDIRECTIONS and not _REGION.fullmatch(answer.headers.get(_HEADER, "")):
            raise Redirected(host=urlsplit(answer.headers.get("location", "")).hostname or "another place")
        return answer

    async def _get_session(self, proxy_url: str | None) -> Any:
        return _Direct(await super()._get_session(proxy_url))  # type: ignore[misc]  # its stubs lack it


class _Direct:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def request(self, *arguments: Any, **options: Any) -> Any:
        return await self._session.request(*arguments, allow_redirects=False, **options)


def send_at_once(client: Any) -> None:
    """Has a client send contents without asking first (`Expect: 100-continue`).

    A server that knows nothing of that never answers, and the time-out for reading begins after the content.
    """
    client.meta.events.unregister("before-call.s3", add_expect_header)


def warn_of_plain(url: str) -> None:
    """Warns, once for each host, if requests go beyond this machine without encryption."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        _warn(parts.netloc)


@cache
def _warn(host: str) -> None:
    logger.warning(
        "http://%s is not encrypted: others on the way can read and alter backups, and see tokens. Use https",
        host,
    )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
