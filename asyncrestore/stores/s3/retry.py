"""The one rule by which requests are repeated."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import anyio

from asyncrestore.errors import Unavailable
from asyncrestore.patience import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often to repeat a request that gets no answer.

    Attributes:
        total_s: no attempt begins more than this many seconds after the first.
        attempt_s: an attempt is given up after this many seconds, or as many as its bytes take on the slowest
            line. A server that sends a byte now and then would never reach the time-out of a single read.
        slowest: the slowest line that is waited for, in bytes a second: 2 Mbit/s.
        first_s: see `Backoff`.
        longest_s: see `Backoff`.
    """

    total_s: float = 120.0
    attempt_s: float = 300.0
    slowest: float = 250_000.0
    first_s: float = 0.25
    longest_s: float = 15.0

    def allow(self, limit: anyio.CancelScope, size: int) -> None:
        """Gives an attempt the time that `size` bytes take from now on."""
        limit.deadline = max(limit.deadline, anyio.current_time() + size / self.slowest)


async def persist(
    attempt: Callable[[anyio.CancelScope], Awaitable[_Result]], policy: RetryPolicy, doing: str
) -> _Result:
    """Makes attempts until one ends with anything but `Unavailable`.

    Between them it pauses as `Backoff` says. Any other error of an attempt passes through at once.

    Args:
        attempt: makes one request; called with its limit, which `RetryPolicy.allow` extends.
        policy: how long to try, and how long to pause.
        doing: display name of what is tried.

    Raises:
        Unavailable: no attempt succeeded in time.
    """
    started, backoff = anyio.current_time(), Backoff(policy.first_s, policy.longest_s)
    for number in count(1):
        try:
            with anyio.fail_after(policy.attempt_s) as limit:
                begun = anyio.current_time()
                return await attempt(limit)
        except TimeoutError:
            failure = Unavailable(f"{doing}: not done after {anyio.current_time() - begun:.0f} s")
        except Unavailable as exc:
            failure = exc
        pause = backoff.pause_s()
        waited = anyio.current_time() - started
        if waited + pause >= policy.total_s:
            raise Unavailable(
                f"{failure}; tried {number} times in {waited:.0f} s",
                hint="What is published stays. Run the same command again.",
            ) from failure
        logger.info("%s; trying again", failure)
        await anyio.sleep(pause)
    raise AssertionError("count() has no end")
