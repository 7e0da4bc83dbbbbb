"""The strategy: scripts of histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from asyncrestore.datomic.uri import LOCAL
from tests.generated import data, schema, unique
from tests.generated.model import Builder, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.generated.script import Step

DAY_MS = 86_400_000
_STEPS: list[Callable[[Builder], None]] = [
    *[data.write] * 5, *[data.change] * 3, data.retract, *[data.again] * 3, *[data.compose] * 3,
    *[unique.several] * 2, *[unique.move] * 3, *[unique.swap] * 2, *[unique.upsert] * 2,
    unique.as_transaction, *[unique.circle] * 2, *[unique.erase] * 2,
    schema.attributes, schema.tuples, *[schema.composite] * 2, schema.enum, schema.reuse, schema.rename,
    schema.take_over, schema.lose_name, *[schema.cardinality] * 2, *[schema.unique] * 2,
    schema.alter_nothing, schema.describe, data.empty,
]  # fmt: skip
_STEPS_ON_PRO = [*_STEPS, *[schema.partition] * 2, *[data.in_partitions] * 3]


@st.composite
def histories(
    draw: st.DrawFn, *, engines: frozenset[str], onto_disk: bool, fitted: bool = False, max_steps: int = 20
) -> list[Step]:
    """A script of transactions; each of the engines takes nearly all of them."""
    model = Model(engines, onto_disk=onto_disk and LOCAL in engines, fitted=fitted)
    options = _STEPS_ON_PRO if model.on_pro else _STEPS
    steps: list[Step] = []
    now: int | None = draw(st.sampled_from([0, 1, 946_684_799_999, 1_600_000_000_123]))
    for number in range(draw(st.integers(6, max_steps))):
        builder = Builder(draw, model, by_clock=now is None)
        if number == 0:
            schema.start(builder)
        else:
            for _ in range(draw(st.sampled_from([1, 2, 2, 3]))):
                draw(st.sampled_from(options))(builder)
                if builder.complete:
                    break
        step = builder.end()
        if now is None:
            step.features.add("the engine's own instant")
        if now is not None:
            elapsed = draw(st.sampled_from([0, 0, 1, 1000, DAY_MS]))
            step.features.add("explicit instant" if elapsed else "equal instant")
            now += elapsed
            step.instant = now
            if draw(st.integers(0, 19)) == 19:
                now = None  # from here on it is the engine's clock
        steps.append(step)
    return steps
