"""Runs of many segments, in several processes."""

from __future__ import annotations

import resource
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from random import Random
from time import monotonic

from asyncrestore.segments.document import SegmentRange
from tests.fuzz.mutations import generated, mutated
from tests.fuzz.reading import outcome
from tests.support import forged

BATCH = 2500
SLOW_S = 2.0
FAILED = "failed"
KEPT = Path("failed-segments")

BASES = [
    forged.sound(),
    forged.sound(chunks=forged.log()[1:]),
    forged.sound(SegmentRange(15, 40), forged.log()[1:]),  # has no attributes, as most segments of few datoms
]
PARTS = [forged.taken_apart(data) for data in BASES]


def segment(way: str, seed: int, number: int) -> bytes:
    """The segment with that number."""
    random = Random(f"{way} {seed} {number}")
    if way == "generated":
        return generated(random)
    base = random.randrange(len(BASES))
    return mutated(random, BASES[base], PARTS[base])


def run_batch(way: str, seed: int, numbers: range) -> tuple[Counter[str], int]:
    """Reads segments; returns how many came to what, and the most memory that this process had, in bytes."""
    tally: Counter[str] = Counter()
    for number in numbers:
        data = segment(way, seed, number)
        started = monotonic()
        try:
            tally[outcome(data)] += 1
        except Exception:  # noqa: BLE001 - whatever it is, it is this segment's failure
            traceback.print_exc()
            print(f"FAILED: {way}, --seed {seed} --first {number}", flush=True)
            KEPT.mkdir(exist_ok=True)
            (KEPT / f"{way}-{seed}-{number}.parquet").write_bytes(data)
            tally[FAILED] += 1
        if monotonic() - started > SLOW_S:
            print(f"slow: {way}, --seed {seed} --first {number}: {monotonic() - started:.1f} s", flush=True)
    return tally, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_all(counts: dict[str, int], seed: int, first: int, processes: int) -> tuple[Counter[str], int]:
    """Reads all segments in several processes."""
    total: Counter[str] = Counter()
    memory = 0
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = {
            pool.submit(run_batch, way, seed, numbers): (way, numbers)
            for way, count in counts.items()
            for start in range(first, first + count, BATCH)
            for numbers in [range(start, min(start + BATCH, first + count))]
        }
        for done in as_completed(waiting):
            try:
                tally, most = done.result()
            except BrokenProcessPool:
                print(f"FAILED: a process died in {waiting[done]} or one beside it", flush=True)
                total[FAILED] += 1
                continue
            total += tally
            memory = max(memory, most)
            print(f"{sum(total.values()):,} of {sum(counts.values()):,}", flush=True)
    return total, memory
