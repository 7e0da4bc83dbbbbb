"""Errors out of task groups, as a caller catches them."""

from __future__ import annotations

import anyio
import pytest

from asyncrestore.errors import Conflict, Unavailable
from asyncrestore.tasks import task_group

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
