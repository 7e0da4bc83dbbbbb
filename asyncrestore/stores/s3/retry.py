"""The one rule by which requests are made again."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import anyio

from asyncrestore.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on asking what does not answer, all in seconds.

    Attributes:
        total_s: no attempt begins later than this after the first.
        attempt_s: an attempt without an end is given up after this: a server that sends a byte now and then
            would pass every time-out for a single read. 64 MiB at 2 Mbit/s fit.
        first_s: the longest pause after the first attempt; it doubles with each one.
        longest_s: the longest pause of all.
    """

    total_s: float = 120.0
    attempt_s: float = 300.0
    first_s: float = 0.25
    longest_s: float = 15.0


async def persist(attempt: Callable[[], Awaitable[_Result]], policy: RetryPolicy, doing: str) -> _Result:
    """Makes attempts until one ends with anything but `Unavailable`.

    A pause has a random length up to its limit, so that many clients that were refused together do not come
    back together.

    Args:
        attempt: one request.
        policy: for how long.
        doing: what is tried, for people.

    Raises:
        Unavailable: no attempt succeeded in time. Anything else that an attempt raises passes at once.
    """
    started = anyio.current_time()
    for number in count(1):
        try:
            with anyio.fail_after(policy.attempt_s):
                return await attempt()
        except TimeoutError:
            failure = Unavailable(f"{doing}: not done after {policy.attempt_s:.0f} s")
        except Unavailable as exc:
            failure = exc
        limit = min(policy.longest_s, policy.first_s * 2 ** min(number - 1, 30))
        pause = random.uniform(0, limit)  # noqa: S311 - a jitter, no secret
        waited = anyio.current_time() - started
        if waited + pause >= policy.total_s:
            raise Unavailable(
                f"{failure}; tried {number} times in {waited:.0f} s",
                hint="What is published stays. Run the same command again.",
            ) from failure
        logger.info("%s; trying again", failure)
        await anyio.sleep(pause)
    raise AssertionError("count() has no end")
