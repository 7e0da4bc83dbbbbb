"""A sample of the segments of `make test-fuzz`: each is whole for all that read it, or damage."""

from __future__ import annotations

import pytest

from tests.fuzz.reading import DAMAGED, WHOLE
from tests.fuzz.runs import run_batch

SEED = 1


@pytest.mark.parametrize(("way", "count"), [("mutated", 300), ("generated", 60)])
def test_a_sample(way: str, count: int) -> None:
    tally, _ = run_batch(way, SEED, range(count))
    assert tally.keys() == {WHOLE, DAMAGED}
