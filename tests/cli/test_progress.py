"""Progress and units, with a clock that the test moves."""

from __future__ import annotations

import json
import re

import pytest

from asyncrestore.cli import text
from asyncrestore.cli.meter import Meter
from asyncrestore.cli.options import Settings
from asyncrestore.cli.output import Output
from asyncrestore.cli.progress import lines, show_progress, statuses
from asyncrestore.progress import Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def halfway() -> Progress:
    progress = Progress(start_t=10, end_t=210)
    progress.committed_t, progress.transactions, progress.datoms = 110, 1000, 5000
    return progress


def test_a_line_every_30_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    on_progress = lines("restore", Output(Settings()), Meter(clock))
    for second in range(70):
        clock.now = 100.0 + second
        on_progress(halfway())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "restore: 50.0%, 1,000 transactions, 33/s, 30.0 s left",
        "restore: 50.0%, 1,000 transactions, 17/s, 1 min 0 s left",
    ]


def test_at_most_one_status_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    on_progress = statuses("restore", Output(Settings(json=True)), Meter(clock))
    for tenth in range(25):
        clock.now = 100.0 + tenth / 10
        on_progress(halfway())
    start, first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (start["seconds"], start["transactions_per_second"]) == (0.0, 0.0)
    assert first == {
        "message_type": "status",
        "action": "restore",
        "fraction": 0.5,
        "t": 110,
        "end_t": 210,
        "transactions": 1000,
        "datoms": 5000,
        "seconds": 1.0,
        "transactions_per_second": 1000.0,
        "remaining_seconds": 1.0,
    }
    assert second["seconds"] == 2.0


@pytest.mark.parametrize("settings", [Settings(quiet=True), Settings(no_progress=True)])
def test_no_progress_on_request(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("restore", Output(settings), settings) as on_progress:
        on_progress(halfway())
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with show_progress("restore", Output(Settings()), Settings()) as on_progress:
        on_progress(halfway())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "1,000 transactions" in captured.err
    assert "50%" in captured.err


def test_a_note_beside_a_bar_is_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress("restore", Output(Settings()), Settings()) as on_progress:
        on_progress(halfway())
        Output(Settings()).note("opening URI: 40 % in 70 s")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "opening URI: 40 % in 70 s" in re.split(r"[\r\n]+", plain)


def test_units() -> None:
    assert [text.size(n) for n in (0, 999, 1000, 356_029, 2_500_000, 7e12)] == [
        "0 B", "999 B", "1.0 kB", "356.0 kB", "2.5 MB", "7.0 TB",
    ]  # fmt: skip
    assert [text.duration(s) for s in (0.04, 59.94, 60, 3599.4, 7260)] == [
        "0.0 s", "59.9 s", "1 min 0 s", "59 min 59 s", "2 h 1 min",
    ]  # fmt: skip
    assert text.count(1, "segment") == "1 segment"
    assert text.count(2000, "segment") == "2,000 segments"
    assert text.took(2.0, 1000) == "2.0 s, 500 transactions/s"
