"""What generated histories have shown is looked at as a whole, in however many processes they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.generated.batches import Shown, batches, put
from tests.generated.variety import Variety

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("wanted", "most", "sizes"),
    [
        (210, 70, [70, 70, 70]),
        (45, 70, [22, 23]),
        (401, 200, [133, 134, 134]),
        (2, 200, [1, 1]),
        (1, 200, [1]),
    ],
)
def test_each_number_is_in_one_batch(wanted: int, most: int, sizes: list[int]) -> None:
    made = batches(wanted, most)
    assert [len(batch) for batch in made] == sizes
    assert [number for batch in made for number in batch] == list(range(wanted))


def shown(histories: int, feature: str, *failures: str) -> Shown:
    variety = Variety(histories=histories)
    variety.features[feature] = histories
    variety.values["s", feature] = 1
    return Shown(variety, list(failures))


def test_the_last_sees_all(tmp_path: Path) -> None:
    """Whichever that is; one that is repeated counts once."""
    assert put(tmp_path / "run", "30", shown(3, "enum")).histories == 3
    put(tmp_path / "run", "0", shown(1, "upsert"))
    every = put(tmp_path / "run", "0", shown(2, "upsert", "history-1: differs"))
    assert (every.histories, every.failures) == (6, ["history-1: differs"])
    assert every.variety.features == {"enum": 3, "upsert": 2}
    assert every.variety.values == {("s", "enum"): 1, ("s", "upsert"): 1}
    missing = every.variety.lacking()
    assert "enum: 0" not in missing
    assert "change: 0" in missing
    assert str(every).startswith("5 identical, 1 differ, ")
