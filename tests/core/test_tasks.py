"""Errors out of task groups, as a caller catches them."""

from __future__ import annotations

import anyio
import pytest

from asyncrestore.errors import Conflict, Unavailable
from asyncrestore.tasks import each, task_group

pytestmark = pytest.mark.anyio


async def _fail(error: Exception, together: anyio.Event) -> None:
    await together.wait()
    raise error


async def _run(*errors: Exception) -> None:
    together = anyio.Event()
    async with task_group() as tasks:
        for error in errors:
            tasks.start_soon(_fail, error, together)
        await anyio.wait_all_tasks_blocked()
        together.set()


async def test_one_error_is_itself() -> None:
    with pytest.raises(ValueError, match="one"):
        await _run(ValueError("one"))


async def test_of_several_on_purpose_the_first_with_the_others_in_its_notes() -> None:
    with pytest.raises(Unavailable, match="one") as caught:
        await _run(Unavailable("one"), Unavailable("two"))
    assert caught.value.__notes__ == ["At the same time: two"]


async def test_what_another_try_cures_hides_nothing_that_it_does_not() -> None:
    with pytest.raises(Conflict, match="two") as caught:
        await _run(Unavailable("one"), Conflict("two"))
    assert caught.value.__notes__ == ["At the same time: one"]


async def test_a_defect_is_never_hidden() -> None:
    with pytest.raises(ExceptionGroup):
        await _run(Unavailable("one"), ValueError("two"))


async def test_an_error_keeps_what_it_was_raised_beside() -> None:
    async def fail() -> None:
        try:
            raise KeyError("before")  # noqa: TRY301 - it must be handled here
        except KeyError:
            raise ValueError("after")  # noqa: B904 - its context is the subject

    with pytest.raises(ValueError, match="after") as caught:
        async with task_group() as tasks:
            tasks.start_soon(fail)
    assert isinstance(caught.value.__context__, KeyError)
    assert caught.value.__cause__ is None
    assert not caught.value.__suppress_context__


@pytest.mark.parametrize("at_once", [1, 2, 3, 1 << 80])
async def test_work_for_each_is_done_for_so_many_at_once_and_no_more(at_once: int) -> None:
    under_way = most = 0

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.wait_all_tasks_blocked()
        under_way -= 1
        return -item

    assert await each(iter([3, 1, 2]), work, at_once=at_once) == [-3, -1, -2]
    assert most == min(at_once, 3)
    assert await each([], work, at_once=at_once) == []
