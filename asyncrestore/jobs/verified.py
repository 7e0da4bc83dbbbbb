"""The report of `verify_backup` and `verify_copy`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncrestore.errors import (
    HistoryDiffers,
)
from asyncrestore.excision.excised import Excised

if TYPE_CHECKING:
    from asyncrestore.filters.filter import FilteredAttribute


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        checked: display name of what was verified.
        against: URI of the target it was compared with, if any.
        live: URI of the source it was compared with, if any.
        behind: how many transactions `live` has after the backup's end: the next backup copies them.
        ahead: how many transactions `against` has after the backup's end: they were not compared.
        end: the first t after what was verified.
        transactions: how many transactions were read and checked.
        datoms: how many datoms those transactions have.
        problems: descriptions of the first problems, at most `max_differences`.
        problem_count: how many problems there are in all.
        seconds: how long it took.
        filtered: what was left out and rewritten before comparing, by attribute.
        excised: what the source's requests for excision meant.
        notes: remarks that are not problems: segments put aside or superseded, overlaps, foreign objects,
            and what was excised in the source and is there all the same.
    """

    checked: str
    against: str | None = None
    live: str | None = None
    behind: int = 0
    ahead: int = 0
    end: int
    transactions: int = 0
    datoms: int = 0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    seconds: float = 0.0
    filtered: list[FilteredAttribute] = field(default_factory=list)
    excised: Excised = field(default_factory=Excised)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0

    def raise_for_problems(self) -> None:
        """Raises an error if anything is wrong.

        Raises:
            HistoryDiffers: there are problems; the message has their number and the first one.
        """
        if self.ok:
            return
        problems = f"{self.problem_count:,} problem{'' if self.problem_count == 1 else 's'}"
        if self.against is None:
            hint = "Run repair with the source: it puts damaged segments aside, and fills gaps."
            if self.live is not None:
                hint += " Where a sound segment differs, the source may be the wrong one: look at it first."
            raise HistoryDiffers(
                f"{self.checked} is damaged: {problems}, the first: {self.problems[0]}", hint=hint
            )
        raise HistoryDiffers(
            f"{self.against} differs from {self.checked}: {problems}, the first: {self.problems[0]}",
            hint="If it lacks the newest transactions alone, run restore: it continues. Otherwise do not use "
            "the target in the source's place: restore into a new database, and verify that.",
        )
