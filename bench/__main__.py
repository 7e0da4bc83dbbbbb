"""The benchmark's command: `python -m bench`, or `make bench`; see `bench/README.md`."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.children import BenchError, Jvm, progress, python
from bench.machine import commit, machine
from bench.measure import Measuring, Shape, local, starts
from bench.table import shape_table, spread, starts_table, summary

RESULTS = Path(__file__).parent / "results"
QUICK_TRANSACTIONS = 300


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="directory of the MusicBrainz batches; else the demo's history"
    )
    parser.add_argument(
        "--source",
        type=Path,
        help="storage directory with them loaded: system bench, databases small and large",
    )
    parser.add_argument("--shape", choices=["small", "large", "both"], default="both")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side (default: 3)")
    parser.add_argument("--limit", type=int, help="only so many transactions, the first ones")
    parser.add_argument("--quick", action="store_true", help="once, with a part of the demo's history")
    parser.add_argument("--scratch", type=Path, help="where to make stores and targets: the disk to measure")
    given = parser.parse_args()
    if given.quick:
        given.data, given.source, given.repeats, given.limit = None, None, 1, QUICK_TRANSACTIONS
    if given.repeats < 1 or (given.limit is not None and given.limit < 1):
        parser.error("--repeats and --limit must be at least 1")
    if given.data is not None and given.source is not None:
        parser.error("--data or --source, not both")
    return given


def sources(given: argparse.Namespace, jvm: Jvm, scratch: Path) -> list[Shape]:
    """Makes the sources; a given one is copied, for reading locks it."""
    storage = scratch / "source"
    if given.data is None and given.source is None:
        storage.mkdir()
        python("load the demo's history", "load-demo", uri=local(storage, "demo"))
        return [Shape("Demo", storage, "demo")]
    sizes = ["small", "large"] if given.shape == "both" else [given.shape]
    if given.source is not None:
        shutil.copytree(given.source, storage, ignore=shutil.ignore_patterns(".lock"))
    else:
        storage.mkdir()
        for size in sizes:
            jvm(f"load {size}", "load", str(given.data), str(storage), "bench", size, size)
    return [Shape(f"MusicBrainz, {size} transactions", storage, size) for size in sizes]


def measure(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measures all; prints the tables as they are ready. What fails is told at once and at the end."""
    failures: list[str] = []
    shapes: dict[str, Any] = {}
    start_s: dict[str, list[float]] = {}
    jvm = Jvm.like_the_bridge()
    try:
        start_s = starts(given.repeats)
        print(starts_table(start_s), end="\n\n", flush=True)
    except BenchError as error:
        failures.append(failed(error))
    for shape in sources(given, jvm, scratch):
        progress(shape.title)
        directory = scratch / shape.db
        directory.mkdir()
        try:
            Measuring(shape, jvm, directory, given.repeats, given.limit).run()
        except BenchError as error:
            failures.append(failed(error))
        shapes[shape.db] = {
            "transactions": shape.transactions,
            "datoms": shape.datoms,
            "summary": summary(shape),
            "runs": shape.runs,
        }
        print(shape_table(shape), end="\n\n", flush=True)
        shutil.rmtree(directory)
    return {
        "starts_s": {name: {**spread(values), "runs": values} for name, values in start_s.items()},
        "shapes": shapes,
        "failures": failures,
    }


def failed(error: BenchError) -> str:
    progress(f"FAILED: {error}")
    return str(error)


def main() -> int:
    given = arguments()
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    with tempfile.TemporaryDirectory(prefix="asyncrestore-bench-", dir=given.scratch) as scratch:
        about = machine(Path(scratch))
        if about["file_system"] in {"tmpfs", "ramfs"}:
            progress("The scratch directory is in memory, not on a disk; --scratch names another.")
            return 2
        when = datetime.now(UTC)
        head = {"command": command, "date": when.isoformat(timespec="seconds"), "commit": commit()}
        try:
            results = measure(given, Path(scratch))
        except BenchError as error:
            failed(error)
            return 1
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{when:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps({**head, "machine": about, **results}, indent=2) + "\n")
    print(
        f"{about['cores']} cores ({about['cpu']}), {about['memory_gb']} GB, {about['file_system']}, ", end=""
    )
    print(f"{about['java']}, Python {about['python']}, commit {head['commit']}: `{command}`")
    progress(f"All of it: {file}")
    for failure in results["failures"]:
        progress(f"FAILED: {failure}")
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
