"""The results of a suite's runs, and the rows of its table."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.children import Result

COUNT, RATIO, TIMES, SECONDS = "{:,.0f}", "{:.2f}", "{:.1f}", "{:.3f}"
"""Formats of rates and sizes, of ratios, of multiples, of seconds."""


@dataclass(frozen=True)
class Row:
    """A figure, and its value in each repeat.

    Attributes:
        name: what it is, with its unit.
        values: one a repeat.
        form: how they are written.
    """

    name: str
    values: list[float]
    form: str = COUNT


@dataclass
class Figures:
    """The results of a suite with one source.

    Attributes:
        suite: its name.
        title: of its table: what was measured.
        runs: for each side the results of its runs, in order.
        rows: of the table.
        facts: what else a plot or a reader must know.
    """

    suite: str
    title: str
    runs: dict[str, list[Result]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, side: str, result: Result) -> None:
        """Notes the result of a run."""
        self.runs.setdefault(side, []).append(result)

    def rates(self, side: str, measure: str = "seconds") -> list[float]:
        """Transactions a second of a side, in each of its runs that was measured so."""
        return [run["transactions"] / run[measure] for run in self.runs.get(side, []) if measure in run]

    def row(self, name: str, values: Sequence[float], form: str = COUNT) -> None:
        """Adds a row, if there are values."""
        if values:
            self.rows.append(Row(name, list(values), form))

    def rate(self, name: str, side: str, measure: str = "seconds") -> None:
        """Adds a row of a side's transactions a second."""
        self.row(f"{name}, transactions/s", self.rates(side, measure))

    def ratio(self, name: str, values: Sequence[float], others: Sequence[float], form: str = RATIO) -> None:
        """Adds a row of ratios, pair by pair: those of one repeat were measured one after the other."""
        self.row(f"{name}, pair by pair", [a / b for a, b in zip(values, others, strict=False)], form)

    def table(self) -> str:
        """The rows in Markdown."""
        lines = [f"| {self.title} | min | median | max |", "|---|--:|--:|--:|"]
        for row in self.rows:
            numbers = (row.form.format(value) for value in spread(row.values).values())
            lines.append(f"| {row.name} | {' | '.join(numbers)} |")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """All of it, for machines."""
        rows = [{"name": row.name, **spread(row.values), "values": row.values} for row in self.rows]
        return {
            "suite": self.suite,
            "title": self.title,
            "rows": rows,
            "facts": self.facts,
            "runs": self.runs,
        }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}
