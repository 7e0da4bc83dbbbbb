"""The benchmark's command: `python -m bench`, or `make bench`; see `bench/README.md`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.children import BenchError, progress
from bench.plan import QUICK, Plan
from bench.running import ONLY_BY_NAME, SHAPES, SUITES, run

if TYPE_CHECKING:
    from bench.figures import Figures

RESULTS = Path(__file__).parent / "results"
QUICK_TRANSACTIONS = 300


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    all_, more = ", ".join(SUITES), ", ".join(ONLY_BY_NAME)
    parser.add_argument("suites", nargs="*", help=f"which to run (default: all of {all_}), or {more}")
    parser.add_argument(
        "--data", type=Path, help="directory of the MusicBrainz batches; else the demo's history"
    )
    parser.add_argument(
        "--source",
        type=Path,
        help="storage directory with them loaded: system bench, databases small and large",
    )
    parser.add_argument("--shape", choices=[*SHAPES, "both"], default="both")
    parser.add_argument("--repeats", type=int, help=f"runs of each side (default: {Plan.repeats})")
    parser.add_argument("--limit", type=int, help="only the first N transactions", metavar="N")
    parser.add_argument(
        "--first",
        type=int,
        help=f"the first N for sides that wait for each, where there is a round trip (default: {Plan.first})",
        metavar="N",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run with a part of the demo's history")
    parser.add_argument("--scratch", type=Path, help="where to make stores and targets: the disk to measure")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the numbers and the plots go")
    given = parser.parse_args()
    if given.quick:
        given.data, given.source, given.limit = None, None, QUICK_TRANSACTIONS
    if unknown := set(given.suites) - {*SUITES, *ONLY_BY_NAME}:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {all_}, {more}")
    for number in (given.repeats, given.limit, given.first):
        if number is not None and number < 1:
            parser.error("--repeats, --limit and --first must be at least 1")
    if given.data is not None and given.source is not None:
        parser.error("--data or --source, not both")
    return given


def plan(given: argparse.Namespace) -> Plan:
    wanted = {"repeats": given.repeats, "first": given.first}
    return replace(QUICK if given.quick else Plan(), **{k: v for k, v in wanted.items() if v is not None})


def command_of(given: argparse.Namespace) -> str:
    """The command as it is shown, with placeholders for directories: elsewhere they have other names."""
    names = {
        given.data: "MBRAINZ-DIR",
        given.source: "STORAGE-DIR",
        given.scratch: "DIR",
        given.results: "DIR",
    }
    by_text = {str(path): name for path, name in names.items() if path is not None}
    return shlex.join(["python", "-m", "bench", *(by_text.get(each, each) for each in sys.argv[1:])])


def main() -> int:
    given = arguments()
    command = command_of(given)

    def done(figures: Figures, results: dict[str, Any]) -> None:
        print(figures.table(), end="\n\n", flush=True)
        write(given.results, {"command": command, **results})

    try:
        given.results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        progress(f"FAILED: --results: {error}")
        return 2
    try:
        results = run(
            given.suites or SUITES,
            data=given.data,
            source=given.source,
            shapes=SHAPES if given.shape == "both" else [given.shape],
            limit=given.limit,
            plan=plan(given),
            scratch=given.scratch,
            on_suite=done,
        )
    except BenchError as error:
        progress(f"FAILED: {error}")
        return 2
    file = write(given.results, {"command": command, **results})
    progress(f"All of it: {file}")
    plot({"command": command, **results}, given.results)
    about = results["machine"]
    print(
        f"{about['cores']} cores ({about['cpu']}), {about['memory_gb']} GB, {about['file_system']}, "
        f"{about['java']}, Python {about['python']}, commit {results['commit']}: `{command}`"
    )
    for failure in results["failures"]:
        progress(f"FAILED: {failure}")
    return 1 if results["failures"] else 0


def write(directory: Path, results: dict[str, Any]) -> Path:
    """Writes the numbers as JSON, over those of the same run; returns the file."""
    file = directory / f"{results['date'].replace(':', '').replace('+0000', 'Z')}.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    return file


def plot(results: dict[str, Any], directory: Path) -> None:
    """Draws the plots of those suites that have some."""
    try:
        from bench.plots import draw
    except ImportError:
        progress("No plots: that needs the dependency group bench (pip install --group bench).")
        return
    for file in draw([results], directory):
        progress(f"Plot: {file}")


if __name__ == "__main__":
    sys.exit(main())
