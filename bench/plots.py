"""Draws what the suites found, as SVG and PNG: `python -m bench.plots RESULTS.json .. --to DIR`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.figures import spread
from bench.tenths import rates_of_tenths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

OURS, CEILING, THEIRS, WAITING, LIMIT = "#1b6ca8", "#555555", "#c0504d", "#3a9b5c", "#999999"
LIMIT_MB = 200

Suite = dict[str, Any]


def draw(results: Iterable[dict[str, Any]], directory: Path) -> list[Path]:
    """Draws every plot that the results have; of several with the same suite and source the last counts.

    Args:
        results: as `bench.run` returns them, with the command.
        directory: where the files go; it exists.

    Returns:
        The files.
    """
    plots: dict[str, tuple[Callable[[Any, Suite], None], Suite, str]] = {}
    for each in results:
        said = f"{each.get('command', 'bench.run()')}\n{_where(each)}"
        for suite in each["suites"]:
            source = "-large" if "large transactions" in suite["title"] else ""
            if suite["suite"] in {"latency", "peer"}:
                engine = "-peer" if suite["suite"] == "peer" else ""
                plots[f"round-trips{engine}{source}"] = (_round_trips, suite, said)
            elif suite["suite"] == "size":
                plots["rate-over-size"] = (_rate_over_size, suite, said)
                plots["memory-over-size"] = (_memory_over_size, suite, said)
    files = []
    for name, (plot, suite, said) in plots.items():
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.subplots()
        plot(axes, suite)
        axes.grid(visible=True, alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8)
        axes.annotate(
            said, (0, 0), (0, -38), xycoords="axes fraction", textcoords="offset points", fontsize=6, va="top"
        )
        for ending in ("svg", "png"):
            file = directory / f"{name}.{ending}"
            # Without a date in it, and with the same names inside, the same figures give the same file.
            with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
                figure.savefig(file, dpi=150, metadata={"Date": None} if ending == "svg" else None)
            files.append(file)
    return files


def _where(results: dict[str, Any]) -> str:
    about = results["machine"]
    on = f"{about['cores']} cores ({about['cpu']}), commit {results['commit']}"
    return f"{on}, {results['date']}; min, median, max of the repeats"


def _line(axes: Any, xs: Sequence[float], runs: Sequence[Sequence[float]], **style: Any) -> None:
    """A line of medians with bars from the least to the greatest; `runs` has the values at each x."""
    spreads = [spread(values) for values in runs]
    middle = [each["median"] for each in spreads]
    below = [each["median"] - each["min"] for each in spreads]
    above = [each["max"] - each["median"] for each in spreads]
    axes.errorbar(xs, middle, yerr=[below, above], capsize=3, marker="o", markersize=4, **style)


def _rates(suite: Suite, side: str) -> list[float]:
    return [run["transactions"] / run["seconds"] for run in suite["runs"][side]]


def _round_trips(axes: Any, suite: Suite) -> None:
    round_trips = suite["facts"]["round_trips_ms"]
    xs = list(range(len(round_trips)))
    first = suite["runs"]["predecessor 0 ms"][0]["transactions"]
    if "ceiling" in suite["runs"]:
        ceiling = spread(_rates(suite, "ceiling"))
        label = "ceiling: a plain loop, no round trip"
        axes.axhline(ceiling["median"], color=CEILING, linestyle="--", label=label)
        axes.axhspan(ceiling["min"], ceiling["max"], color=CEILING, alpha=0.15)
    ours = [_rates(suite, f"restore {ms} ms") for ms in round_trips]
    _line(axes, xs, ours, color=OURS, label="restore")
    theirs = [_rates(suite, f"predecessor {ms} ms") for ms in round_trips]
    label = f"predecessor's algorithm, the first {first:,}"
    _line(axes, xs, theirs, color=THEIRS, label=label)
    at = round_trips.index(suite["facts"]["waiting_ms"])
    label = f"restore that waits for each, the first {first:,}"
    _line(axes, [at], [_rates(suite, "waiting")], color=WAITING, linestyle="", label=label)
    axes.set_yscale("log")
    axes.set_xticks(xs, [str(ms) for ms in round_trips])
    axes.set_xlabel("round trip, ms")
    axes.set_ylabel("transactions/s")
    axes.set_title(suite["title"], fontsize=9)


def _rate_over_size(axes: Any, suite: Suite) -> None:
    size = suite["facts"]["sizes"][-1]
    for side, color, name in (("ceiling", CEILING, "ceiling: a plain loop"), ("restore", OURS, "restore")):
        runs = suite["runs"][f"{side} {size}"]
        xs = [runs[0]["datoms"] * (tenth + 0.5) / 10 / 1e6 for tenth in range(10)]
        for prefix, style, when in (("", ":", "cold"), ("warm_", "-", "the JVM warm")):
            rates = [rates_of_tenths(run["transactions"], run[f"{prefix}tenths"]) for run in runs]
            by_tenth = list(zip(*rates, strict=True))
            _line(axes, xs, by_tenth, color=color, linestyle=style, label=f"{name}, {when}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("million datoms restored")
    axes.set_ylabel("transactions/s, each tenth by itself")
    axes.set_title("Rate of one restore as the database grows; Datomic Local in memory", fontsize=9)


def _memory_over_size(axes: Any, suite: Suite) -> None:
    sizes = suite["facts"]["sizes"]
    runs = [suite["runs"][f"restore {size}"] for size in sizes]
    peaks = [[run["peak_mb"] for run in each] for each in runs]
    _line(axes, [each[0]["datoms"] for each in runs], peaks, color=OURS, label="restore, the Python process")
    axes.axhline(LIMIT_MB, color=LIMIT, linestyle="--", label="promised: below")
    axes.set_xscale("log")
    axes.set_ylim(0, LIMIT_MB * 1.1)
    axes.set_xlabel("datoms restored")
    axes.set_ylabel("peak memory, MB")
    axes.set_title("Peak memory of a restore", fontsize=9)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="files that `python -m bench` wrote")
    parser.add_argument("--to", type=Path, required=True, help="directory for the plots")
    given = parser.parse_args()
    try:
        results = [json.loads(file.read_text()) for file in given.results]
        given.to.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for file in draw(results, given.to):
        print(file)


if __name__ == "__main__":
    main()
