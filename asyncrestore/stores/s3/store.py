"""A store on S3: one object for each segment, created by one conditional request and never changed.

It needs only the permissions to list, read and create objects: nothing is ever replaced, and only `delete`
deletes.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from contextlib import contextmanager
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import to_thread
from botocore.exceptions import ClientError, FlexibleChecksumError
from typing_extensions import override

from asyncrestore.errors import SegmentDamaged, StoreFailed, Unavailable
from asyncrestore.limits import check_object_size
from asyncrestore.stores.base import ChecksUploads, Deletes, StoredObject, folder_of, name_of
from asyncrestore.stores.s3.errors import DELETING, LISTING, READING, WRITING, s3_errors, status_of
from asyncrestore.stores.s3.retry import persist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import ListObjectsV2OutputTypeDef

    from asyncrestore.stores.s3.errors import Action
    from asyncrestore.stores.s3.retry import RetryPolicy
    from asyncrestore.stores.s3.uri import S3Place

_Result = TypeVar("_Result")
_PIECE = 1 << 20
_MOST_NAMES = 1_000
"""On a page of a listing, as S3 promises."""

_MOST_PAGES = 2_000
"""In one listing: a segment a minute for four years, never compacted."""

_WRITER = "asyncrestore-writer"
_CONDITIONS_KEY = ".asyncrestore"
_CONDITIONS_TEXT = b"asyncrestore creates this object again and again, to see that the store refuses it.\n"


class S3Store(Deletes, ChecksUploads):
    """A store that keeps objects on S3.

    Args:
        client: open for as long as the store is used.
        place: where its objects are.
        policy: how long to repeat requests that get no answer.
    """

    def __init__(self, client: S3Client, place: S3Place, policy: RetryPolicy) -> None:
        self._client = client
        self._place = place
        # Any: the stubs want each parameter by its name.
        self._bucket: Any = place.addressing()
        self._policy = policy
        self._conditions_hold = False
        self._checking_conditions = anyio.Lock()
        self.uri = place.uri

    @override
    async def names(self) -> list[str]:
        prefix = self._place.prefix
        with self._listed():
            folders = [
                each["Prefix"].removeprefix(prefix).removesuffix("/")
                async for page in self._pages(prefix)
                for each in page.get("CommonPrefixes", [])
            ]
        return sorted(name for folder in folders if (name := name_of(folder)) is not None)

    @override
    async def list(self, name: str) -> list[StoredObject]:
        prefix = self._key(name, "")
        with self._listed():
            objects = [
                StoredObject(each["Key"].removeprefix(prefix), each["Size"])
                async for page in self._pages(prefix)
                for each in page.get("Contents", [])
                if each["Key"] != prefix  # some tools make an object for a folder
            ]
        return sorted(objects)

    @contextmanager
    def _listed(self) -> Iterator[None]:
        """Names the server of a listing that lacks a field or has an odd one: the client takes what comes."""
        try:
            yield
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as exc:
            raise StoreFailed(f"{self.uri}: the server's listing is none: {exc!r}") from exc

    @override
    async def read(self, name: str, key: str) -> bytes:
        return await self._read(self._key(name, key))

    @override
    async def publish(self, name: str, key: str, data: bytes) -> bool:
        await self._check_conditions()
        return await self._create(self._key(name, key), data)

    @override
    async def delete(self, name: str, key: str) -> None:
        path = self._key(name, key)

        async def attempt(_: anyio.CancelScope) -> None:
            await self._client.delete_object(**self._bucket, Key=path)

        await self._persist(DELETING, path, attempt)

    @override
    async def refuses_damage(self, name: str, key: str) -> bool:
        path = self._key(name, key)

        async def attempt(_: anyio.CancelScope) -> bool:
            try:
                await self._put(path, b"what arrives", _sha256(b"what was sent"), "")
            except ClientError as exc:
                if status_of(exc) == HTTPStatus.BAD_REQUEST:
                    return True
                raise
            return False

        return await self._persist(WRITING, path, attempt)

    async def _check_conditions(self) -> None:
        """Makes sure that the server heeds `If-None-Match`: one that does not would replace objects.

        Called before anything is published, because a backup cannot know whether another one is running.
        """
        async with self._checking_conditions:
            if self._conditions_hold:
                return
            for _ in range(2):  # the first attempt may create it
                if not await self._create(self._place.prefix + _CONDITIONS_KEY, _CONDITIONS_TEXT):
                    self._conditions_hold = True
                    return
            raise StoreFailed(
                f"{self.uri} replaces an object that it must leave alone: it ignores If-None-Match",
                hint="Two backups at once could destroy each other's segments there. Use another store; "
                "asyncrestore validate-store tries one.",
            )

    async def _create(self, path: str, data: bytes) -> bool:
        digest = await to_thread.run_sync(_sha256, data)
        # A refusal does not say who was first. It may have been an attempt of ours whose answer was lost, or
        # one that we do not know of: aiohttp repeats a request on a connection that was closed.
        writer = secrets.token_hex(16)

        async def attempt(limit: anyio.CancelScope) -> bool:
            self._policy.allow(limit, len(data))
            try:
                await self._put(path, data, digest, writer)
            except ClientError as exc:
                if status_of(exc) == HTTPStatus.PRECONDITION_FAILED:
                    return False
                raise
            return True

        return await self._persist(WRITING, path, attempt) or await self._writer(path) == writer

    async def _put(self, path: str, data: bytes, digest: str, writer: str) -> None:
        await self._client.put_object(
            **self._bucket,
            Key=path,
            Body=BytesIO(data),  # not the bytes themselves, which aiohttp would send in one piece
            IfNoneMatch="*",
            ChecksumAlgorithm="SHA256",  # some servers keep the digest only when this says so too
            ChecksumSHA256=digest,
            Metadata={_WRITER: writer},
            **self._place.storing(),  # type: ignore[arg-type]  # the stubs know the values as literals
        )

    async def _writer(self, path: str) -> str | None:
        async def attempt(_: anyio.CancelScope) -> str | None:
            head = await self._client.head_object(**self._bucket, Key=path)
            return head["Metadata"].get(_WRITER)

        return await self._persist(READING, path, attempt)

    async def _read(self, path: str) -> bytes:
        mismatches = 0

        async def attempt(limit: anyio.CancelScope) -> bytes:
            nonlocal mismatches
            try:
                return await self._get(path, limit)
            except FlexibleChecksumError as exc:
                mismatches += 1
                # If it was damaged in transit, the next attempt succeeds; otherwise it is stored damaged.
                kind = Unavailable if mismatches == 1 else SegmentDamaged
                raise kind(f"{self._where(path)} is not what was written: {exc}") from exc

        return await self._persist(READING, path, attempt)

    async def _get(self, path: str, limit: anyio.CancelScope) -> bytes:
        answer = await self._client.get_object(**self._bucket, Key=path, ChecksumMode="ENABLED")
        where, size = self._where(path), answer.get("ContentLength", 0)
        body = answer["Body"]
        async with body:
            check_object_size(where, size)
            self._policy.allow(limit, size)
            data = bytearray()
            # By pieces: a server that does not say how much it sends may send without end.
            while piece := await body.read(_PIECE):
                data += piece
                check_object_size(where, len(data))
            return bytes(data)

    async def _pages(self, prefix: str) -> AsyncIterator[ListObjectsV2OutputTypeDef]:
        """Yields the pages of a listing, of at most 1,000 keys each."""
        tokens: set[str] = set()
        request: dict[str, Any] = {
            **self._bucket,
            "Prefix": prefix,
            "Delimiter": "/",
        }

        while True:
            page = await self._persist(LISTING, prefix, lambda _: self._client.list_objects_v2(**request))
            yield page
            if len(page.get("Contents", [])) + len(page.get("CommonPrefixes", [])) > _MOST_NAMES:
                raise StoreFailed(f"{self.uri}: the server lists more than {_MOST_NAMES:,} names at once")
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken", "")
            if not token or token in tokens:
                raise StoreFailed(f"{self.uri}: the server cuts off a listing without saying how to continue")
            if len(tokens) == _MOST_PAGES:
                raise StoreFailed(
                    f"{self._where(prefix)} has more than {_MOST_PAGES} pages of names, which no backup has",
                    hint="Look at what lies there, or whether the server repeats itself.",
                )
            tokens.add(token)
            request["ContinuationToken"] = token

    async def _persist(
        self, action: Action, path: str, attempt: Callable[[anyio.CancelScope], Awaitable[_Result]]
    ) -> _Result:
        async def translated(limit: anyio.CancelScope) -> _Result:
            with s3_errors(action, self._where(path)):
                return await attempt(limit)

        return await persist(translated, self._policy, f"{self._where(path)}: {action.doing}")

    def _key(self, name: str, key: str) -> str:
        return f"{self._place.prefix}{folder_of(name)}/{key}"

    def _where(self, path: str) -> str:
        return f"s3://{self._place.bucket}/{path}".rstrip("/")


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
