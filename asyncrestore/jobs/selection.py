"""Which part of a history a copy has: what is left out and rewritten, and where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncrestore.errors import UsageError
from asyncrestore.filters.filter import make_filter
from asyncrestore.history.point_in_time import limit_history
from asyncrestore.jobs.arguments import integers, lists, times, wrong

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from asyncrestore.excision.excised import Excisions
    from asyncrestore.filters.filter import Filter
    from asyncrestore.filters.rewrites import Rewrite
    from asyncrestore.history.base import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A part of a history, for `restore`, and for `verify_copy` of what was restored with it.

    Attributes:
        exclude: idents of attributes whose datoms are left out.
        exclude_schema: also leave out the definitions of these attributes.
        rewrite: how to rewrite the values of which attributes, by ident: ``hash``, ``null`` (left out),
            ``constant:TEXT``, ``fake:PROVIDER``, ``module:function``, or a function (see `Rewrite`).
        rewrite_key: a secret of at least 16 bytes, for ``hash`` and ``fake``.
        until_t: the last source t. A later restore without it continues.
        until_time: the same as a time: the last transaction not after it is the last one.
        keep_excised: also what requests for excision in the source cover, as far as it is still there. The
            requests themselves are never replayed.
        fit_target: leave out what the target's edition lacks and does without, such as ``:db/index``, which
            Datomic Local and Cloud do not have. What would be lost (bytes, functions) is still refused.

    Raises:
        UsageError: one of these is of another type, or both ends are given.
    """

    exclude: Collection[str] = ()
    exclude_schema: bool = False
    rewrite: Mapping[str, Rewrite] | None = None
    rewrite_key: bytes | None = field(default=None, repr=False)
    until_t: int | None = None
    until_time: datetime | None = None
    keep_excised: bool = False
    fit_target: bool = False

    def __post_init__(self) -> None:
        lists(exclude=self.exclude)
        integers(or_none=True, until_t=self.until_t)
        times(until_time=self.until_time)
        if self.rewrite is not None and not isinstance(self.rewrite, Mapping):
            raise wrong("rewrite", "a mapping from attributes", self.rewrite)
        if self.rewrite_key is not None and not isinstance(self.rewrite_key, bytes):
            # Not its text, which is a secret.
            raise UsageError(f"rewrite_key must be bytes, and is a {type(self.rewrite_key).__name__}")

    @property
    def is_everything(self) -> bool:
        """Whether it selects the whole history as it is. A key alone rewrites nothing."""
        changed = self.exclude or self.exclude_schema or self.rewrite or self.keep_excised
        return not changed and not self.fit_target and self.until_t is None and self.until_time is None

    async def of(self, whole: History) -> Selected:
        """Selects from a history.

        Raises:
            UsageError: an attribute cannot be left out or rewritten as asked, or the history does not reach
                the end that is asked for.
        """
        filter_ = await make_filter(
            whole,
            exclude=self.exclude,
            exclude_schema=self.exclude_schema,
            rewrite=self.rewrite,
            key=self.rewrite_key,
            fit=self.fit_target,
        )
        excisions = await whole.excisions()
        history = await limit_history(whole, self.until_t, self.until_time)
        excisions = excisions.keeping() if self.keep_excised else excisions
        return Selected(history, filter_, excisions, fit_target=self.fit_target)


@dataclass(frozen=True, slots=True)
class Selected:
    """What a `Selection` makes of a history.

    Attributes:
        history: up to where it ends.
        filter: what is left out and rewritten, None for nothing.
        excisions: what the source's requests for excision cover.
        fit_target: whether the filter is still to be fitted to the target.
    """

    history: History
    filter: Filter | None
    excisions: Excisions
    fit_target: bool = False

    def fitted(self, lacking: Mapping[int, str]) -> Filter | None:
        """Returns the filter for a target that lacks these idents of the source's base schema, by entity id.

        It is None if it would do nothing.
        """
        if self.filter is None or not self.fit_target:
            return self.filter
        self.filter.fit(lacking)
        return self.filter if self.filter.rules else None


EVERYTHING = Selection()


def selected_by(selection: Selection | None, keywords: Selection) -> Selection:
    """Returns the selection that was asked for, as one object or by keywords.

    Raises:
        UsageError: it was asked for in both ways.
    """
    if selection is None:
        return keywords
    if not isinstance(selection, Selection):
        raise wrong("selection", "a Selection", selection)
    if not keywords.is_everything:
        raise UsageError("Give selection alone, or exclude, rewrite, until_t and the like, not both")
    return selection
