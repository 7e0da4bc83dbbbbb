"""Validate a store: does it keep the promises that backups need?"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from asyncrestore.catalog import PROBES
from asyncrestore.errors import StoreFailed
from asyncrestore.opening import as_store
from asyncrestore.stores.promises import check_promises

if TYPE_CHECKING:
    from asyncrestore.opening import AnyStore
    from asyncrestore.stores.promises import Promise


@dataclass(frozen=True, slots=True)
class ValidateReport:
    """What became of a store's promises.

    Attributes:
        store: the store's URI.
        left: where the objects are that were made; nothing needs them any more.
        promises: in the order in which they were tried.
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
        """Raises if a promise was broken.

        Raises:
            StoreFailed: with all that were.
        """
        broken = [f"{each.text}: {each.problem}" for each in self.promises if each.kept is False]
        if broken:
            raise StoreFailed(
                f"{self.store} does not keep what backups need: {'; '.join(broken)}",
                hint="docs/s3.md says what each promise is for, and what breaking it means.",
            )


async def validate_store(store: AnyStore) -> ValidateReport:
    """Tries out a store, by some 1,020 small objects and a large one, 35 MB in all.

    They are left under a name of their own, which no command takes for a backup: a store need not allow to
    delete.

    Args:
        store: a store, open or as a URI.

    Returns:
        The report; broken promises are in it, and not raised.

    Raises:
        NotFound, NotAuthorized, Unavailable: the store cannot be used at all. UsageError: a URI is wrong.
    """
    started = monotonic()
    name = PROBES + secrets.token_hex(4)
    async with as_store(store) as opened:
        promises = await check_promises(opened, name)
        return ValidateReport(opened.uri, f"{opened.uri.rstrip('/')}/{name}", promises, monotonic() - started)
