"""Several sources in chosen proportions: weights, or sizes with a cap and a temperature; rows left out or repeated.

Sizes to rates: T5's examples-proportional mixing with a limit K on each dataset's size, then the temperature
(Raffel et al. 2020, section 3.5.2: min(e, K)^(1/T)); T0 caps at 500,000 rows over the number of templates (Sanh et
al. 2022, section 4), FLAN at 3,000 for the rates (Wei et al. 2022, section 2.4).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core.errors import StepError
from datakit.core.example import derived_id
from datakit.core.hashing import digest
from datakit.core.registry import suggest
from datakit.core.step import Params, StepContext, StepOutput, entry, ledger_table
from datakit.mixing.drawing import DrawingStep
from datakit.mixing.related import column_values

__all__ = ["MixParams", "MixStep", "Portion", "mix", "portions"]


class MixParams(Params):
    """Parameters of ``mix``.

    Attributes:
        by: Column whose values are mixed: ``source``, or another of the rows.
        weights: Value to weight, in proportion; a value that is not named is left out of the mix and dropped.
        temperature: Flattens the sizes: 1 keeps their proportions, larger ones come closer to equal parts.
        cap: Largest size of a part that counts for the proportions.
        rows: Rows in all; by default as many as there are without repeating more than allowed.
        max_repeats: How often a row may stand in the result; 1 never repeats.
        seed: Another one than the recipe's.
    """

    by: str = "source"
    weights: dict[str, float] | None = Field(default=None, min_length=1)
    temperature: float = Field(default=1.0, ge=1)
    cap: int | None = Field(default=None, ge=1)
    rows: int | None = Field(default=None, ge=1)
    max_repeats: int = Field(default=1, ge=1, le=1000)
    seed: int | None = None

    @model_validator(mode="after")
    def _one_way(self) -> MixParams:
        if self.weights is None:
            return self
        if self.cap is not None or self.temperature != 1:
            raise ValueError("weights are the proportions; temperature and cap take them from the sizes: give one")
        for name, weight in self.weights.items():
            if not (weight > 0 and math.isfinite(weight)):
                raise ValueError(f"the weight of '{name}' is a positive number, not {weight}")
        return self


@dataclass(frozen=True, slots=True)
class Portion:
    """What one part gives to the mix.

    Attributes:
        available: Its rows.
        wanted: Rows in the result; more than ``available`` where rows are repeated.
    """

    available: int
    wanted: int

    def sentence(self, name: str, total: int) -> str:
        """``chats 1,000 of 800 rows (40.0 %, 200 repeated)``."""
        repeated = max(self.wanted - self.available, 0)
        share = 100 * self.wanted / total if total else 0.0
        return f"{name} {self.wanted:,} of {self.available:,} rows ({share:.1f} %" + (
            f", {repeated:,} repeated)" if repeated else ")"
        )


def portions(sizes: Mapping[str, int], params: MixParams) -> dict[str, Portion]:
    """How many rows each part gives; parts in the order of ``sizes``.

    Raises:
        StepError: A weight names no part, or ``rows`` asks for more than the parts have.
    """
    if params.weights is None:
        counted = {name: min(size, params.cap or size) for name, size in sizes.items() if size}
        rates = {name: count ** (1 / params.temperature) for name, count in counted.items()}
    else:
        for name in params.weights:
            if not sizes.get(name):
                raise StepError(f"mix: no row has '{name}' in '{params.by}'", hint=suggest(name, list(sizes)))
        rates = {name: params.weights[name] for name in sizes if name in params.weights}
    total_rate = sum(rates.values())
    rates = {name: rate / total_rate for name, rate in rates.items()}
    limits = {name: sizes[name] * params.max_repeats for name in rates}
    scarce = min(rates, key=lambda name: (limits[name] / rates[name], name))
    most = math.floor(limits[scarce] / rates[scarce] + 1e-9)
    total = most if params.rows is None else params.rows
    if total > most:
        repeats = math.ceil(total * rates[scarce] / sizes[scarce])
        raise StepError(
            f"mix: {total:,} rows need {round(total * rates[scarce]):,} of '{scarce}', which has {sizes[scarce]:,}",
            hint=f"At most {most:,} rows in these proportions, or max_repeats: {repeats}",
        )
    wanted = _whole({name: min(rate * total, limits[name]) for name, rate in rates.items()}, total, limits)
    return {name: Portion(size, wanted.get(name, 0)) for name, size in sizes.items()}


def _whole(exact: Mapping[str, float], total: int, limits: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers with the given total, nearest to the exact ones (largest remainders)."""
    found = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    rest = min(total, sum(limits.values())) - sum(found.values())
    by_remainder = sorted(exact, key=lambda name: (found[name] - exact[name], name))
    for name in [*by_remainder, *by_remainder]:
        if rest > 0 and found[name] < limits[name]:
            found[name] += 1
            rest -= 1
    return found


class MixStep(DrawingStep[MixParams]):
    """Leaves rows out or repeats them until the parts stand in proportion.

    After a ``split`` only training rows are mixed: a repeated test row would count twice.
    """

    name: ClassVar[str] = "mix"
    version: ClassVar[int] = 1
    Params: ClassVar[type[Params]] = MixParams

    def columns(self) -> list[str]:
        """Columns the rows must have."""
        return [self.params.by]

    def apply(self, table: pa.Table) -> StepOutput:
        """Which rows stay, and the repeated ones after their originals.

        Raises:
            StepError: See :func:`portions`.
        """
        values = [str(value) for value in column_values(table, self.params.by, step="mix", mapped=self.mapped)]
        mixed = _mixed_rows(table)
        rows = [row for row in range(table.num_rows) if mixed[row]]
        if not rows:
            raise StepError("mix: there is no training row")
        sizes = dict(sorted(Counter(values[row] for row in rows).items()))
        parts = portions(sizes, self.params)
        ids = table.column("id").to_pylist()
        times = _times(rows, ids, values, parts, self.seed)
        total = sum(part.wanted for part in parts.values())
        self._notes = [part.sentence(name, total) for name, part in parts.items()]
        return self._output(table, ids, values, [times.get(row, 0) if mixed[row] else 1 for row in range(len(ids))])

    def _output(self, table: pa.Table, ids: list[str], values: list[str], times: list[int]) -> StepOutput:
        take: list[int] = []
        copy: list[int] = []
        ledger: list[dict[str, Any]] = []
        for row, count in enumerate(times):
            take += [row] * count
            copy += range(count)
            if not count:
                ledger.append(entry(self.name, ids[row], "dropped", "mixed_out", evidence={"part": values[row]}))
            for k in range(1, count):
                made = derived_id(ids[row], self.name, k)
                evidence = {"part": values[row], "copy": k}
                ledger.append(entry(self.name, made, "created", "repeated", parent=ids[row], evidence=evidence))
        kept = table.take(pa.array(take, pa.int64()))
        if any(copy):
            new = [derived_id(ids[row], self.name, k) if k else ids[row] for row, k in zip(take, copy, strict=True)]
            before = kept.column("parent").to_pylist()
            parents = [ids[row] if k else old for row, k, old in zip(take, copy, before, strict=True)]
            for name, column in (("id", new), ("parent", parents)):
                kept = kept.set_column(kept.column_names.index(name), name, pa.array(column, pa.string()))
        return StepOutput(kept, ledger_table(ledger))


def _mixed_rows(table: pa.Table) -> list[bool]:
    if "split" not in table.column_names:
        return [True] * table.num_rows
    return [side == "train" for side in table.column("split").to_pylist()]


def _times(
    rows: Sequence[int], ids: Sequence[str], values: Sequence[str], parts: Mapping[str, Portion], seed: int
) -> dict[int, int]:
    """How often each row stands in the result: whole rounds for all, the rest by the hash of the id."""
    members: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        members[values[row]].append(row)
    times: dict[int, int] = {}
    for name, own in members.items():
        rounds, rest = divmod(parts[name].wanted, len(own))
        order = sorted(own, key=lambda row: (digest(seed, "mix", ids[row]), row)) if rest else own
        for place, row in enumerate(order):
            times[row] = rounds + (place < rest)
    return times


def mix(
    table: pa.Table,
    *,
    by: str = "source",
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
    cap: int | None = None,
    rows: int | None = None,
    max_repeats: int = 1,
    seed: int = 0,
) -> pa.Table:
    """The rows in the wanted proportions; see :class:`MixParams`.

    Raises:
        StepError: A column or part is not there, or the parts have not enough rows.
    """
    params = MixParams(
        by=by,
        weights=None if weights is None else dict(weights),
        temperature=temperature,
        cap=cap,
        rows=rows,
        max_repeats=max_repeats,
    )
    return MixStep(params, StepContext(seed=seed)).apply(table).table
