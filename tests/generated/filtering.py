"""What a filtered copy of a script's history leaves out and rewrites."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncrestore.filters.rewrites import make_rewriter
from asyncrestore.model.equality import as_compared
from tests.generated.script import ident
from tests.support.comparison import ALTER, INSTALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncrestore.model.log import Datom
    from tests.generated.player import Player
    from tests.generated.script import Place, Step

KEY = b"a key of the generated histories"
HASHED = {"string", "long", "keyword", "uuid", "uri", "symbol", "bigint", "bytes"}
NEVER_REWRITTEN = {"ref", "tuple"}
WAYS = ("", "exclude", "hash", "function")


def unchanged(_ident: str, value: Any) -> Any:
    """A function that rewrites each value to itself: whatever a source holds, it may return."""
    return value


unchanged.inverse = unchanged  # type: ignore[attr-defined]


@dataclass(slots=True)
class Filtering:
    """A filter: attributes by place, with name and type.

    Attributes:
        excluded: those that are left out.
        hashed: those whose values are hashed.
        kept: those whose values a function returns as they are.
        with_schema: whether the excluded attributes themselves are left out, too.
    """

    excluded: dict[Place, str] = field(default_factory=dict)
    hashed: dict[Place, tuple[str, str]] = field(default_factory=dict)
    kept: dict[Place, str] = field(default_factory=dict)
    with_schema: bool = False

    def options(self) -> dict[str, Any]:
        """The options of a restore, or of a verification."""
        return {
            "exclude": list(self.excluded.values()),
            "exclude_schema": self.with_schema and bool(self.excluded),
            "rewrite": {name: "hash" for name, _ in self.hashed.values()}
            | dict.fromkeys(self.kept.values(), unchanged),
            "rewrite_key": KEY,
        }

    def features(self) -> set[str]:
        """What it shows."""
        left_out = "filtered copy without attributes" if self.with_schema else "filtered copy without datoms"
        shown = {
            left_out: self.excluded,
            "filtered copy with hashes": self.hashed,
            "filtered copy with a function": self.kept,
        }
        return {name for name, there in shown.items() if there}

    def expected(self, datoms: list[Datom], player: Player) -> list[Datom]:
        """The datoms that the copy has of those of a transaction of the source."""
        gone, kept = ({player.id_of(place) for place in some} for some in (self.excluded, self.kept))
        hidden = gone if self.with_schema else set()
        hashed = {
            player.id_of(place): make_rewriter("hash", name, f"db.type/{type_}", KEY).rewrite
            for place, (name, type_) in self.hashed.items()
        }

        def value(a: int, kind: str, raw: Any) -> Any:
            if a in hashed:
                return hashed[a](raw)
            # A function gets one spelling of a URI for all that Datomic takes for the same.
            return as_compared(kind, raw) if a in kept else raw

        return [
            (e, a, kind, value(a, kind, raw), added)
            for e, a, kind, raw, added in datoms
            if a not in gone and e not in hidden and not (a in {INSTALL, ALTER} and raw in hidden)
        ]


def filtering(steps: list[Step], ways: Iterable[str], *, with_schema: bool) -> Filtering:
    """Picks from the attributes that the first step makes, one way for each, what may be filtered."""
    chosen = Filtering(with_schema=with_schema)
    for (place, said), way in zip(_steady(steps).items(), ways, strict=False):
        name, type_ = said["db/ident"], said["db/valueType"].name.removeprefix("db.type/")
        if way == "exclude" and said.get("db/unique") != ident("db.unique/identity"):
            chosen.excluded[place] = name
        elif way == "hash" and type_ in HASHED:
            chosen.hashed[place] = name, type_
        elif way == "function" and "db/unique" not in said and type_ not in NEVER_REWRITTEN:
            chosen.kept[place] = name
    return chosen


def _steady(steps: list[Step]) -> dict[Place, dict[str, Any]]:
    """What is said of the attributes that keep their names and uniqueness, and are in no composite.

    Of others a filter may be refused, or mean another attribute later.
    """
    made: dict[Place, dict[str, Any]] = {}
    for o in steps[0].operations:
        if o.e.what == "attribute":
            made.setdefault(o.e, {})[o.a.name] = o.raw
    by_name = {said["db/ident"]: place for place, said in made.items()}
    for step in steps[1:]:
        for o in step.operations:
            if o.a.name in {"db/ident", "db/unique"}:
                made.pop(o.e, None)
            if o.a.name == "db/ident":
                made.pop(by_name.get(o.raw, o.e), None)
            if o.a.name == "db/tupleAttrs":
                for _, name in o.raw:
                    made.pop(by_name.get(name, o.e), None)
    return made
