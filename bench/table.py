"""The results as tables in Markdown."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Shape

HEAD = ["| {} | min | median | max |", "|---|--:|--:|--:|"]
PLACES = {"memory": "in memory", "disk": "on disk"}
NAMES = {
    "read log": "plain read of the source's log in the JVM",
    "backup": "backup",
    "restore disk": "restore on disk",
    "verify": "verify of the store",
    "read target": "plain read of the target's log in the JVM",
    "verify against": "verify of the target against the store",
}


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}


def shape_table(shape: Shape) -> str:
    """The tables of one source."""
    lines = [HEAD[0].format(f"{shape.title}: {shape.transactions:,} transactions, {shape.datoms:,} datoms")]
    lines.append(HEAD[1])
    for place, name in PLACES.items():
        lines += _restores(shape, place, name)
    lines += _reads(shape)
    for side in ("backup", "restore disk", "verify", "verify against"):
        values = [run["peak_mb"] for run in shape.runs.get(side, [])]
        lines += _row(f"peak memory of the Python process: {NAMES[side]}, MB", values)
    return "\n".join(lines)


def starts_table(seconds: dict[str, list[float]]) -> str:
    return "\n".join(
        [
            HEAD[0].format("Start, seconds"),
            HEAD[1],
            *_row("`asyncrestore --version`", seconds["version"], "{:.2f}"),
            *_row("from starting the JVM to its first answer", seconds["first answer"], "{:.2f}"),
        ]
    )


def summary(shape: Shape) -> dict[str, dict[str, float]]:
    """Spreads of what the sides of a shape did, for machines."""
    result = {}
    for side, runs in shape.runs.items():
        for measure in ("seconds", "warm_seconds", "transactions", "datoms", "peak_mb"):
            values = [run[measure] for run in runs if measure in run]
            if values:
                result[f"{side} {measure}"] = spread(values)
    return result


def _restores(shape: Shape, place: str, name: str) -> list[str]:
    ceiling, ours = (_rates(shape.runs.get(f"{side} {place}", [])) for side in ("ceiling", "restore"))
    predecessor = _rates(shape.runs.get(f"predecessor {place}", []))
    first = _rates(shape.runs.get(f"restore first {place}", []))
    lines = _row(f"restore {name}, transactions/s", ours)
    lines += _row(f"plain loop in the JVM {name} (the ceiling), transactions/s", ceiling)
    lines += _row(
        f"restore / ceiling {name}, pair by pair",
        [a / b for a, b in zip(ours, ceiling, strict=False)],
        "{:.2f}",
    )
    if place == "memory":
        ours_warm, ceiling_warm = (
            _rates(shape.runs.get(f"{side} {place}", []), "warm_seconds") for side in ("restore", "ceiling")
        )
        lines += _row(f"restore {name}, the JVM warm, transactions/s", ours_warm)
        lines += _row(f"the ceiling {name}, the JVM warm, transactions/s", ceiling_warm)
        pairs_warm = [a / b for a, b in zip(ours_warm, ceiling_warm, strict=False)]
        lines += _row(f"restore / ceiling {name}, the JVM warm, pair by pair", pairs_warm, "{:.2f}")
    of = ""
    if first:
        of = f", the first {shape.runs[f'predecessor {place}'][0]['transactions']:,}"
        lines += _row(f"restore {name}{of}, transactions/s", first)
    lines += _row(f"predecessor's algorithm {name}{of}, transactions/s", predecessor)
    pairs = zip(first or ours, predecessor, strict=False)
    return lines + _row(f"restore / predecessor {name}{of}", [a / b for a, b in pairs], "{:.1f}")


def _reads(shape: Shape) -> list[str]:
    lines = []
    for side in ("read log", "backup", "verify", "read target", "verify against"):
        runs = shape.runs.get(side, [])
        lines += _row(f"{NAMES[side]}, datoms/s", [run["datoms"] / run["seconds"] for run in runs])
    return lines


def _rates(runs: list[dict[str, Any]], measure: str = "seconds") -> list[float]:
    return [run["transactions"] / run[measure] for run in runs]


def _row(name: str, values: Sequence[float], form: str = "{:,.0f}") -> list[str]:
    if not values:
        return []
    return [f"| {name} | " + " | ".join(form.format(value) for value in spread(values).values()) + " |"]
