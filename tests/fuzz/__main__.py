"""Mutated and generated segments: each is whole for all that read it, or damage: `make test-fuzz N=1000000`.

    python -m tests.fuzz --mutated N --generated N --seed S --processes P

A segment depends on the seed and its number alone: `--seed S --first NUMBER --mutated 1` makes one again. One
that is neither whole nor damage, or is whole for verify only, is kept in `failed-segments`.
"""

from __future__ import annotations

import argparse
import sys
from time import monotonic

from tests.fuzz.runs import FAILED, run_all

MOST_MEMORY = 512 << 20


def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutated", type=int, default=0, metavar="N")
    parser.add_argument("--generated", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    counts = {"mutated": options.mutated, "generated": options.generated}
    started = monotonic()
    total, memory = run_all(counts, options.seed, options.first, options.processes)
    seconds = monotonic() - started
    print(
        f"{dict(total)} in {seconds:.0f} s, {sum(total.values()) / seconds:,.0f}/s, {memory >> 20} MB at most"
    )
    if memory > MOST_MEMORY:
        print(f"FAILED: more than {MOST_MEMORY >> 20} MB")
    return 1 if total[FAILED] or memory > MOST_MEMORY else 0


if __name__ == "__main__":
    sys.exit(main())
