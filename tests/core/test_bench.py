"""What the benchmark makes of its measurements, without measuring."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

import bench.__main__
from bench.children import BenchError
from bench.figures import Figures
from bench.running import run
from bench.synthetic import SCHEMA, transactions
from bench.tenths import ends_of_tenths, rates_of_tenths

if TYPE_CHECKING:
    from pathlib import Path


def test_tenths_of_a_steady_rate_are_equal() -> None:
    marks = [(0.0, 0), *((batch / 10, 64 * batch) for batch in range(1, 11))]
    assert ends_of_tenths(marks) == pytest.approx([tenth / 10 for tenth in range(1, 11)])
    assert rates_of_tenths(640, ends_of_tenths(marks)) == pytest.approx([640.0] * 10)


def test_tenths_see_a_rate_that_halves() -> None:
    ends = ends_of_tenths([(0.0, 0), (1.0, 500), (3.0, 1000)])
    rates = rates_of_tenths(1000, ends)
    assert rates[0] == pytest.approx(500)
    assert rates[-1] == pytest.approx(250)


def test_tenths_of_one_batch() -> None:
    assert ends_of_tenths([(0.5, 0), (1.5, 3)]) == pytest.approx([0.5 + tenth / 10 for tenth in range(1, 11)])


def test_a_generated_history_is_the_same_for_the_same_seed() -> None:
    first, again, other = (list(islice(transactions(seed), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first[0] == SCHEMA


def test_ratios_are_taken_pair_by_pair() -> None:
    figures = Figures("any", "Title")
    for ours, theirs in ((1.0, 2.0), (2.0, 2.0), (4.0, 2.0)):
        figures.add("ours", {"transactions": 8, "seconds": ours})
        figures.add("theirs", {"transactions": 8, "seconds": theirs})
    figures.rate("ours", "ours")
    figures.ratio("ours / theirs", figures.rates("ours"), figures.rates("theirs"))
    figures.row("nothing", [])
    assert figures.table().splitlines() == [
        "| Title | min | median | max |",
        "|---|--:|--:|--:|",
        "| ours, transactions/s | 2 | 4 | 8 |",
        "| ours / theirs, pair by pair | 0.50 | 1.00 | 2.00 |",
    ]
    assert figures.as_json()["rows"][1]["values"] == [2.0, 1.0, 0.5]


@pytest.mark.parametrize("option", ["--scratch", "--source", "--data", "--results"])
def test_what_is_no_directory_is_refused_by_name_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(sys, "argv", ["bench", "starts", "--results", str(tmp_path), option, str(file)])
    assert bench.__main__.main() == 2
    assert capsys.readouterr().err.startswith(f"FAILED: {option}: ")


@pytest.mark.parametrize("option", ["scratch", "source", "data"])
def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path, option: str) -> None:
    missing = tmp_path / "not-mounted"
    given: dict[str, Any] = {option: missing}
    with pytest.raises(BenchError, match=f"--{option}: there is no directory {missing}"):
        run(["starts"], **given)
    assert not missing.exists()
