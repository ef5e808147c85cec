"""Train, validation and test, so that nothing related stands on two sides.

Related is what shares the root row (``group``), a duplicate cluster (``cluster``) or a value of a named column. Such
sets stay whole. Which side a set goes to depends on its own ids, the seed and the sizes, never on the rows' order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core.errors import StepError
from datakit.core.step import Params, StepContext, StepOutput, ledger_table
from datakit.mixing.assign import assign, assign_by_time, assign_folds
from datakit.mixing.drawing import DrawingStep
from datakit.mixing.related import column_values, related_sets

__all__ = ["SPLITS", "SplitParams", "SplitStep", "by_split", "folds", "held_out", "split"]

SPLITS = ("train", "validation", "test")

_OWN_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class SplitParams(Params):
    """Parameters of ``split``.

    Attributes:
        validation: Share of the rows.
        test: Share of the rows; train gets what remains. With ``folds`` it is one fold.
        stratify: Column whose values shall have equal shares in all splits, ``label`` mostly.
        group: Column whose equal values stay together, a customer's number for example.
        by: Column of the data that names the split of each row; the shares are ignored then.
        time: Column of dates or numbers: train is the oldest, test the newest.
        folds: Number of folds for cross-validation; test is fold number ``fold``.
        fold: Which, from 0.
        seed: Another one than the recipe's.
    """

    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.15, ge=0, lt=1)
    stratify: str | None = None
    group: str | None = None
    by: str | None = None
    time: str | None = None
    folds: int | None = Field(default=None, ge=2, le=1000)
    fold: int = Field(default=0, ge=0)
    seed: int | None = None

    @model_validator(mode="after")
    def _leaves_some(self) -> SplitParams:
        test = self.test if self.folds is None else 1 / self.folds
        if self.validation + test >= 1:
            raise ValueError(f"validation {self.validation} + test {test:g} leave nothing for train")
        if self.by is not None and (self.stratify is not None or self.group is not None):
            raise ValueError("by takes the data's own split; stratify and group cannot be kept with it")
        if sum(value is not None for value in (self.by, self.time, self.folds)) > 1:
            raise ValueError("by, time and folds are three ways to split: give one of them")
        if self.time is not None and self.stratify is not None:
            raise ValueError("time decides the side of every row; stratify cannot be kept with it")
        if self.folds is None and self.fold:
            raise ValueError("fold is the number of a fold: give folds, such as folds: 5")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds: they are numbered from 0 to {self.folds - 1}")
        return self


class SplitStep(DrawingStep[SplitParams]):
    """Adds the column ``split``."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 2
    Params: ClassVar[type[Params]] = SplitParams

    def columns(self) -> list[str]:
        """Columns the rows must have."""
        params = self.params
        return [name for name in (params.stratify, params.group, params.by, params.time) if name is not None]

    def apply(self, table: pa.Table) -> StepOutput:
        """Adds ``split``; no row is dropped or changed.

        Raises:
            StepError: A column is not there, or a split that was asked for would be empty.
        """
        params, seed, mapped = self.params, self.seed, self.mapped
        if params.by is not None:
            held, own = held_out(table), _by(table, params.by, mapped)
            sides = ["test" if side == "train" and out else side for side, out in zip(own, held, strict=True)]
            self._notes = _crossing(table, own)
            if moved := sum(one != other for one, other in zip(own, sides, strict=True)):
                self._notes.append(f"{moved:,} rows of the data's own train split stand in test: gold, or like it")
        else:
            sides = _around_gold(table, params, seed, mapped)
            self._refuse_empty(table, sides)
            self._notes = _told(table, params, sides, mapped)
        if "split" in table.column_names:
            table = table.drop_columns(["split"])
        return StepOutput(table.append_column("split", pa.array(sides, pa.string())), ledger_table([]))

    def _refuse_empty(self, table: pa.Table, sides: Sequence[str]) -> None:
        """A test split of no rows would only be noticed after the training."""
        asked = {"train": 1.0, "validation": self.params.validation, "test": self.params.test}
        for name, share in asked.items():
            if share and name not in sides:
                raise StepError(
                    f"the split '{name}' would be empty: {table.num_rows} rows, in sets that must stay whole",
                    hint="Add rows, or write 0 for it" if name != "train" else "Add rows",
                )


def split(
    table: pa.Table,
    *,
    validation: float = 0.1,
    test: float = 0.15,
    stratify: str | None = None,
    group: str | None = None,
    by: str | None = None,
    time: str | None = None,
    seed: int = 0,
) -> pa.Table:
    """The table with a column ``split``; see :class:`SplitParams`.

    Raises:
        StepError: A column is not there, or a split that was asked for would be empty.
    """
    params = SplitParams(validation=validation, test=test, stratify=stratify, group=group, by=by, time=time)
    return SplitStep(params, StepContext(seed=seed)).apply(table).table


def folds(
    table: pa.Table, count: int, *, stratify: str | None = None, group: str | None = None, seed: int = 0
) -> list[int]:
    """The fold of every row, 0 to ``count`` - 1, for cross-validation; nothing related stands in two.

    Raises:
        StepError: A column is not there.
    """
    strata = None if stratify is None else column_values(table, stratify, step="split")
    return assign_folds(related_sets(table, group=group), strata, count, seed)


def by_split(table: pa.Table) -> dict[str, pa.Table]:
    """The rows of each split, empty ones included; a table that was not split is all train but for gold rows."""
    import pyarrow.compute as pc

    if "split" not in table.column_names:
        held = pa.array(held_out(table), pa.bool_())
        if not held.true_count:
            return {"train": table}
        return {"train": table.filter(pc.invert(held)), "validation": table.slice(0, 0), "test": table.filter(held)}
    return {name: table.filter(pc.equal(table.column("split"), name)) for name in SPLITS}


def held_out(table: pa.Table, *, group: str | None = None, mapped: Mapping[str, str] | None = None) -> list[bool]:
    """Rows that must not be trained on: gold (the column ``held_out``), and all that is related to it."""
    if "held_out" not in table.column_names:
        return [False] * table.num_rows
    roots = related_sets(table, group=group, mapped=mapped or {})
    gold = {root for root, out in zip(roots, table.column("held_out").to_pylist(), strict=True) if out}
    return [root in gold for root in roots]


def _around_gold(table: pa.Table, params: SplitParams, seed: int, mapped: Mapping[str, str]) -> list[str]:
    """Sides of all rows: gold goes to test, or to validation where no test is asked for, and counts for its size."""
    held = held_out(table, group=params.group, mapped=mapped)
    count = sum(held)
    if not count:
        return _sides(table, params, seed, mapped)
    if count == len(held):
        raise StepError("every row is gold or related to it: nothing is left to train on")
    place = "test" if params.test or params.folds is not None or not params.validation else "validation"
    if params.time is not None:
        # The sides are periods: gold of a training period leaves it, and does not make the others shorter.
        return [place if out else side for side, out in zip(_sides(table, params, seed, mapped), held, strict=True)]
    rest = table.filter(pa.array([not out for out in held], pa.bool_()))
    if params.folds is None:
        params = params.model_copy(update=_other_shares(params, place, count, rest.num_rows))
    others = iter(_sides(rest, params, seed, mapped))
    return [place if out else next(others) for out in held]


def _other_shares(params: SplitParams, place: str, gold: int, rest: int) -> dict[str, float]:
    """Shares of the rows that are no gold, so that all together the sides have the asked sizes where they can."""
    wanted = {name: getattr(params, name) * (gold + rest) for name in ("validation", "test")}
    wanted[place] = max(wanted[place] - gold, 0.0)
    scale = min(1.0, rest / 2 / max(sum(wanted.values()), 1e-9))  # at least half of them for train
    return {name: scale * rows / rest for name, rows in wanted.items()}


def _sides(table: pa.Table, params: SplitParams, seed: int, mapped: Mapping[str, str]) -> list[str]:
    roots = related_sets(table, group=params.group, mapped=mapped)
    shares = {"train": 1 - params.validation - params.test, "validation": params.validation, "test": params.test}
    shares = {name: share for name, share in shares.items() if share > 0}
    if params.time is not None:
        times = column_values(table, params.time, step="split", mapped=mapped)
        return assign_by_time(roots, times, shares, table.column("origin").to_pylist())
    strata = None if params.stratify is None else column_values(table, params.stratify, step="split", mapped=mapped)
    if params.folds is None:
        return assign(roots, strata, shares, seed)
    return _fold_sides(roots, strata, params, seed)


def _fold_sides(roots: Sequence[str], strata: Sequence[Any] | None, params: SplitParams, seed: int) -> list[str]:
    """Test is one fold; validation is taken from the others."""
    found = assign_folds(roots, strata, params.folds or 2, seed)
    rest = [row for row, fold in enumerate(found) if fold != params.fold]
    part = params.validation * len(roots) / max(len(rest), 1)
    sides = ["test"] * len(roots)
    shares = {"train": 1 - part, "validation": part} if part > 0 else {"train": 1.0}
    own = None if strata is None else [strata[row] for row in rest]
    for row, side in zip(rest, assign([roots[row] for row in rest], own, shares, seed), strict=True):
        sides[row] = side
    return sides


def _by(table: pa.Table, column: str, mapped: Mapping[str, str]) -> list[str]:
    sides: list[str] = []
    for row, value in enumerate(column_values(table, column, step="split", mapped=mapped)):
        name = _OWN_NAMES.get(str(value).lower())
        if name is None:
            raise StepError(
                f"'{value}' in column '{column}' is no split; accepted are {', '.join(_OWN_NAMES)}",
                where=table.column("origin")[row].as_py(),
            )
        sides.append(name)
    return sides


def _crossing(table: pa.Table, sides: Sequence[str]) -> list[str]:
    """Sets that the data's own split separates."""
    found: dict[str, set[str]] = defaultdict(set)
    for root, side in zip(related_sets(table), sides, strict=True):
        found[root].add(side)
    count = sum(len(names) > 1 for names in found.values())
    return [f"{count} sets of related rows stand on more than one side of the data's own split"] if count else []


def _told(table: pa.Table, params: SplitParams, sides: Sequence[str], mapped: Mapping[str, str]) -> list[str]:
    """What came out, beside what was asked; counts and dates, no other value of a row."""
    notes: list[str] = []
    if params.folds is not None:
        notes.append(f"test is fold {params.fold} of {params.folds}, numbered from 0")
    if params.group is not None:
        values = column_values(table, params.group, step="split", mapped=mapped)
        distinct = len({str(value) for value in values if value not in (None, "")})
        notes.append(f"{distinct:,} values of '{params.group}', each on one side")
    if params.stratify is not None:
        strata = column_values(table, params.stratify, step="split", mapped=mapped)
        notes.append(_balance(params.stratify, strata, sides))
    if params.time is not None:
        times = [str(value) for value in column_values(table, params.time, step="split", mapped=mapped)]
        held = held_out(table, group=params.group, mapped=mapped)
        for name in SPLITS:
            own = [time for time, side, out in zip(times, sides, held, strict=True) if side == name and not out]
            if own:
                first, last = min(own, key=_order), max(own, key=_order)
                notes.append(f"{name}: '{params.time}' from {first} to {last}")
        if count := sum(held):
            place = sides[held.index(True)]
            notes.append(f"{count:,} gold rows of all times, and what is related to them, stand in {place}")
    return notes


def _order(time: str) -> tuple[float, str]:
    try:
        return float(time), ""
    except ValueError:
        return 0.0, time


def _balance(column: str, strata: Sequence[Any], sides: Sequence[str]) -> str:
    whole, sizes = Counter(map(str, strata)), Counter(sides)
    inside = Counter(zip(sides, map(str, strata), strict=True))
    worst = max(
        abs(inside[side, value] / sizes[side] - count / len(sides)) for value, count in whole.items() for side in sizes
    )
    return f"stratified by '{column}': the share of a value differs by at most {100 * worst:.1f} points between splits"
