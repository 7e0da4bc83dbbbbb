"""Keys that AWS KMS makes and unwraps."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncrestore.errors import OtherKey
from asyncrestore.stores.s3.client import open_client
from asyncrestore.stores.s3.errors import Action, s3_errors
from asyncrestore.stores.s3.retry import RetryPolicy, persist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import anyio

_MAKING = Action("making a key", "kms:GenerateDataKey")
_UNWRAPPING = Action("unwrapping a key", "kms:Decrypt")
_LONGEST_WRAPPED = 6144
"""Bytes; what KMS takes at most. A longer one it would refuse like a mistake in the request."""


@asynccontextmanager
async def open_kms(key_id: str, policy: RetryPolicy | None = None) -> AsyncIterator[KeyService]:
    """Opens the key service with one of its keys, for as long as the context lasts; sends no request yet.

    Raises:
        UsageError: the AWS environment is not usable.
    """
    parts = key_id.split(":")
    region = parts[3] if parts[0] == "arn" and len(parts) > 3 else None
    async with open_client("kms", f"KMS key {key_id}", region=region) as client:
        yield KeyService(client, key_id, policy or RetryPolicy())


class KeyService:
    """A key of AWS KMS."""

    def __init__(self, client: Any, key_id: str, policy: RetryPolicy) -> None:
        self._client = client
        self._key_id = key_id
        self._policy = policy

    async def new_key(self, size: int, context: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Makes a new key.

        Args:
            size: of the key, in bytes.
            context: with which alone the service unwraps it again.

        Returns:
            The key, and the same key wrapped.

        Raises:
            NotAuthorized: the key of the service may not be used, or does not exist.
            Unavailable: no attempt succeeded in time.
        """
        answer = await self._ask(
            _MAKING,
            lambda: self._client.generate_data_key(
                KeyId=self._key_id, NumberOfBytes=size, EncryptionContext=context
            ),
        )
        return answer["Plaintext"], answer["CiphertextBlob"]

    async def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Returns a key that `new_key` has wrapped.

        Raises:
            OtherKey: another key of the service has wrapped it, or in another context.
            NotAuthorized: this one may not be used, or does not exist.
            Unavailable: no attempt succeeded in time.
        """
        if len(wrapped) > _LONGEST_WRAPPED:
            raise OtherKey(
                f"KMS key {self._key_id} has not wrapped its key, which is of {len(wrapped):,} bytes"
            )
        answer = await self._ask(
            _UNWRAPPING,
            lambda: self._client.decrypt(
                KeyId=self._key_id, CiphertextBlob=wrapped, EncryptionContext=context
            ),
        )
        key: bytes = answer["Plaintext"]
        return key

    async def _ask(self, action: Action, request: Callable[[], Awaitable[Any]]) -> Any:
        where = f"KMS key {self._key_id}"

        async def attempt(_: anyio.CancelScope) -> Any:
            with s3_errors(action, where):
                return await request()

        return await persist(attempt, self._policy, f"{where}: {action.doing}")
