"""What happened in many runs, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts.

    Attributes:
        runs: of each kind.
        times: how often each fault happened.
        runs_with: in how many runs each fault happened.
        failed: runs that failed, by seed and kind.
    """

    runs: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    runs_with: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, kind: str, happened: Counter[str]) -> None:
        """Counts a run whose history is exact.

        Raises:
            AssertionError: nothing went wrong in it, so it shows nothing.
        """
        happened = +happened
        assert happened, "nothing happened"
        self.runs[kind] += 1
        self.times.update(happened)
        self.runs_with.update(happened.keys())
        if self.runs.total() % 50 == 0:
            print(f"{self.runs.total()} exact: {dict(self.runs)}", flush=True)

    def table(self) -> str:
        """Returns a Markdown table: each fault, how often, and in how many runs, all with exact histories."""
        rows = [
            f"| {name} | {self.times[name]:,} | {self.runs_with[name]:,} |" for name in sorted(self.times)
        ]
        return "\n".join(["| fault | times | in runs, each history exact |", "|---|--:|--:|", *rows])
