"""A step that works on the rows of some sources and leaves the others as they are, each in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from datakit.core.hashing import json_digest
from datakit.core.step import StepContext, StepOutput, ledger_table

__all__ = ["WHOLE", "LimitedStep", "only_of"]

#: Steps that are about all rows, or would leave the others without what the next step needs.
WHOLE = ("label", "mix", "pii", "split")


def only_of(context: StepContext, sources: Sequence[str]) -> StepContext:
    """A context in which there are no other sources."""

    def own(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in sources}

    return replace(context, labels=own(context.labels), columns=own(context.columns))


class LimitedStep:
    """Another step, for the rows of some sources.

    Args:
        step: Made with the context of :func:`only_of`.
        sources: Names in the recipe.
    """

    def __init__(self, step: Any, sources: Sequence[str]) -> None:
        self.step, self.sources = step, tuple(sources)

    def __getattr__(self, name: str) -> Any:
        """Notes, documents and columns are the step's own."""
        return getattr(self.step, name)

    def fingerprint(self) -> str:
        """The step's, and the sources."""
        return json_digest([self.step.fingerprint(), self.sources])

    def apply(self, table: pa.Table) -> StepOutput:
        """Runs the step on the rows of its sources; rows keep their order, new ones follow the row they come from."""
        import numpy as np
        import pyarrow.compute as pc

        chosen = pc.is_in(table.column("source"), pa.array(self.sources, pa.string()))
        own = table.filter(chosen)
        if not own.num_rows:
            return StepOutput(table, ledger_table([]))
        output: StepOutput = self.step.apply(own)
        output.balance(self.step.name, own.num_rows)
        others = table.filter(pc.invert(chosen))
        place = {id: number for number, id in enumerate(table.column("id").to_pylist())}
        joined = pa.concat_tables([others, output.table], promote_options="default")
        rows = zip(*(joined.column(name).to_pylist() for name in ("id", "parent", "group")), strict=True)
        places = [next((place[name] for name in row if name in place), len(place)) for row in rows]
        return StepOutput(joined.take(pa.array(np.argsort(places, kind="stable"))), output.ledger)
