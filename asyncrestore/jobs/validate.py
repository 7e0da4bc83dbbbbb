"""Validate: tests whether a store keeps the promises that backups need."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from asyncrestore.errors import StoreFailed
from asyncrestore.history.catalog import PROBES
from asyncrestore.jobs.opening import as_store
from asyncrestore.stores.promises import check_promises

if TYPE_CHECKING:
    from asyncrestore.jobs.opening import AnyStore
    from asyncrestore.stores.promises import Promise


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateReport:
    """Which promises a store kept.

    Attributes:
        store: the store's URI.
        left: where the objects are that the test made and left; nothing needs them any more.
        promises: the promises, in the order in which they were tested.
        seconds: how long it took.
    """

    store: str
    left: str
    promises: list[Promise]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all promises were kept."""
        return all(promise.kept for promise in self.promises)

    def raise_for_problems(self) -> None:
        """Raises an error if a promise was broken.

        Raises:
            StoreFailed: a promise was broken; the message names all of those.
        """
        broken = [f"{each.text}: {each.problem}" for each in self.promises if each.kept is False]
        if broken:
            raise StoreFailed(
                f"{self.store} does not keep what backups need: {'; '.join(broken)}",
                hint="docs/s3.md says what each promise is for, and what breaking it means.",
            )


async def validate_store(store: AnyStore) -> ValidateReport:
    """Tests a store with about 1,020 small objects and a large one, 35 MB in all.

    They are left in the store, because a store need not allow deleting, under a name that no command takes
    for a backup.

    Args:
        store: a store, open or as a URI.

    Returns:
        The report. Broken promises are in it, and are not raised.

    Raises:
        UsageError: the URI is malformed.
        NotFound: the store does not exist.
        NotAuthorized: the store refused the credentials.
        Unavailable: the store did not answer.
    """
    started = monotonic()
    name = PROBES + secrets.token_hex(4)
    async with as_store(store) as opened:
        promises = await check_promises(opened, name)
        return ValidateReport(
            store=opened.uri,
            left=f"{opened.uri.rstrip('/')}/{name}",
            promises=promises,
            seconds=monotonic() - started,
        )
