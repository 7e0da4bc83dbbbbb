"""Running a job: signals, sent by the job itself so that the order is certain; notes that nobody reads."""

from __future__ import annotations

import os
import signal

import anyio
import anyio.lowlevel
import pytest

from asyncrestore.cli.failures import Interrupted
from asyncrestore.cli.options import Settings
from asyncrestore.cli.output import Output
from asyncrestore.cli.run import run
from asyncrestore.errors import NotFound, StoppedEarly

OUTPUT = Output(Settings())


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_signal_lets_a_draining_job_finish_what_is_in_flight(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def stops(stop: anyio.Event) -> None:
        interrupt()
        await stop.wait()
        raise StoppedEarly("at t 5", hint="run again")

    with pytest.raises(Interrupted, match="at t 5") as caught:
        run(OUTPUT, stops, drains=True)
    assert (caught.value.exit_code, caught.value.hint) == (130, "run again")
    assert "finishing what is in flight" in capsys.readouterr().err

    async def was_at_its_end(stop: anyio.Event) -> str:
        interrupt()
        await stop.wait()
        return "all done"

    assert run(OUTPUT, was_at_its_end, drains=True) == "all done"


def test_the_second_signal_cancels() -> None:
    cleaned_up = False

    async def hangs(stop: anyio.Event) -> None:
        nonlocal cleaned_up
        interrupt()
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await anyio.sleep_forever()
        finally:
            cleaned_up = True

    with pytest.raises(Interrupted) as caught:
        run(OUTPUT, hangs, drains=True, kept="what is left")
    assert (caught.value.hint, cleaned_up) == ("what is left", True)


def test_a_job_that_does_not_drain_is_cancelled_at_once() -> None:
    async def hangs(_stop: anyio.Event) -> None:
        interrupt()
        await anyio.sleep_forever()

    with pytest.raises(Interrupted):
        run(OUTPUT, hangs)


def test_a_terminal_that_is_gone_stops_a_job_in_good_order() -> None:
    cleaned_up = False

    async def hangs(_stop: anyio.Event) -> None:
        nonlocal cleaned_up
        os.kill(os.getpid(), signal.SIGHUP)
        try:
            with anyio.fail_after(10):
                await anyio.sleep_forever()
        finally:
            cleaned_up = True

    before = signal.signal(signal.SIGHUP, lambda *_: None)  # otherwise it would end the tests
    try:
        with pytest.raises(Interrupted):
            run(OUTPUT, hangs)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert cleaned_up


def test_nohup_is_respected() -> None:
    async def goes_on(_stop: anyio.Event) -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        return "done"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(OUTPUT, goes_on) == "done"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_errors_are_not_wrapped() -> None:
    async def fails(_stop: anyio.Event) -> None:
        await anyio.lowlevel.checkpoint()
        raise NotFound("gone")

    with pytest.raises(NotFound, match="gone"):
        run(OUTPUT, fails)
