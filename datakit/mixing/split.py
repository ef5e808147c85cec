"""Train, validation and test, so that nothing related stands on two sides.

Related is what shares the root row (``group``), a duplicate cluster (``cluster``) or a value of a named column. Such
sets stay whole. Which side a set goes to depends on its own ids, the seed and the sizes, never on the rows' order.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core.errors import StepError
from datakit.core.hashing import digest
from datakit.core.registry import suggest
from datakit.core.step import Params, StepContext, StepOutput, ledger_table

__all__ = ["SPLITS", "SplitParams", "SplitStep", "by_split", "split"]

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
        test: Share of the rows; train gets what remains.
        stratify: Column whose values shall have equal shares in all splits, ``label`` mostly.
        group: Column whose equal values stay together, a customer's number for example.
        by: Column of the data that names the split of each row; the shares are ignored then.
        seed: Another one than the recipe's.
    """

    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.15, ge=0, lt=1)
    stratify: str | None = None
    group: str | None = None
    by: str | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _leaves_some(self) -> SplitParams:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave nothing for train")
        if self.by is not None and (self.stratify is not None or self.group is not None):
            raise ValueError("by takes the data's own split; stratify and group cannot be kept with it")
        return self


class SplitStep:
    """Adds the column ``split``."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "table"
    Params: ClassVar[type[Params]] = SplitParams
    train_only: ClassVar[bool] = True

    def __init__(self, params: SplitParams, context: StepContext) -> None:
        self.params = params
        self.context = context
        self._notes: list[str] = []

    def fingerprint(self) -> str:
        """Nothing outside the parameters and the seed."""
        return ""

    def columns(self) -> list[str]:
        """Columns the rows must have."""
        return [name for name in (self.params.stratify, self.params.group, self.params.by) if name is not None]

    def notes(self) -> list[str]:
        """What the data card says of it."""
        return self._notes

    def apply(self, table: pa.Table) -> StepOutput:
        """Adds ``split``; no row is dropped or changed.

        Raises:
            StepError: A column is not there, or a split that was asked for would be empty.
        """
        params = self.params
        seed = self.context.seed if params.seed is None else params.seed
        mapped = {ours: theirs for names in self.context.columns.values() for ours, theirs in names.items()}
        held = _held_out(table, params.group, mapped)
        if params.by is not None:
            sides = _by(table, params.by, mapped)
            self._notes = _crossing(table, sides)
            moved = [row for row, side in enumerate(sides) if side == "train" and held[row]]
            sides = ["test" if side == "train" and held[row] else side for row, side in enumerate(sides)]
            if moved:
                self._notes.append(f"{len(moved)} rows of the data's own train split stand in test: gold, or like it")
        else:
            sides = _assign(table, params, seed, mapped, held)
            self._refuse_empty(table, sides)
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
    seed: int = 0,
) -> pa.Table:
    """The table with a column ``split``; see :class:`SplitParams`.

    Raises:
        StepError: A column is not there, or a split that was asked for would be empty.
    """
    params = SplitParams(validation=validation, test=test, stratify=stratify, group=group, by=by)
    return SplitStep(params, StepContext(seed=seed)).apply(table).table


def by_split(table: pa.Table) -> dict[str, pa.Table]:
    """The rows of each split, empty ones included; a table that was not split is all train but for gold rows."""
    import pyarrow.compute as pc

    if "split" not in table.column_names:
        if "held_out" not in table.column_names:
            return {"train": table}
        held = pc.fill_null(table.column("held_out"), False)
        rows = {"train": table.filter(pc.invert(held)), "validation": table.slice(0, 0), "test": table.filter(held)}
        return rows if held.to_pylist().count(True) else {"train": table}
    return {name: table.filter(pc.equal(table.column("split"), name)) for name in SPLITS}


def _held_out(table: pa.Table, group: str | None, mapped: Mapping[str, str]) -> list[bool]:
    """Rows that must not be trained on: gold, and all that is related to it."""
    if "held_out" not in table.column_names:
        return [False] * table.num_rows
    roots = _sets(table, group, mapped)
    gold = {root for root, held in zip(roots, table.column("held_out").to_pylist(), strict=True) if held}
    return [root in gold for root in roots]


def _assign(
    table: pa.Table, params: SplitParams, seed: int, mapped: Mapping[str, str], held: Sequence[bool]
) -> list[str]:
    roots = _sets(table, params.group, mapped)
    strata = [""] * len(roots) if params.stratify is None else _values(table, params.stratify, mapped)
    inside: dict[str, Counter[str]] = defaultdict(Counter)
    for root, stratum in zip(roots, strata, strict=True):
        inside[root]["" if stratum is None else str(stratum)] += 1
    # A set with rows of several strata belongs to the one most of its rows have.
    members: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for root, counts in inside.items():
        main = min(counts, key=lambda name: (-counts[name], name))
        members[main].append((root, counts.total()))
    shares = {
        "train": 1 - params.validation - params.test,
        "validation": params.validation,
        "test": params.test,
    }
    # What must not be trained on counts towards the test split, and where none is asked for towards validation.
    place = "test" if params.test or not params.validation else "validation"
    fixed = {root: place for root, out in zip(roots, held, strict=True) if out}
    asked = {name: share for name, share in shares.items() if share > 0}
    return _fill(roots, list(members.values()), asked, seed, fixed)


def _fill(
    roots: Sequence[str],
    strata: list[list[tuple[str, int]]],
    shares: Mapping[str, float],
    seed: int,
    fixed: Mapping[str, str],
) -> list[str]:
    """Gives each set to the split that lacks most, stratum by stratum, small strata first.

    What a stratum leaves over or short is carried into the next, so the splits come out in the asked sizes even where
    every stratum is smaller than one row per split. Within a stratum big sets go first (by powers of two), then in
    the order of their hash. The price of n rows for a split short of d rows with share f is n(n - 2d)/f: the
    increase of the chi-square distance from the asked sizes.
    """
    side: dict[str, str] = dict(fixed)
    short = dict.fromkeys(shares, 0.0)
    for root, size in (item for sets in strata for item in sets if item[0] in fixed):
        if fixed[root] in short:
            short[fixed[root]] -= size
    for sets in sorted(strata, key=lambda sets: (sum(size for _, size in sets), min(sets))):
        total = sum(size for _, size in sets)
        for name, share in shares.items():
            short[name] += share * total
        free = [item for item in sets if item[0] not in fixed]
        for root, size in sorted(free, key=lambda item: (-item[1].bit_length(), digest(seed, item[0]))):
            best = min(shares, key=lambda name: (size * (size - 2 * short[name]) / shares[name], name))
            side[root] = best
            short[best] -= size
    return [side[root] for root in roots]


def _sets(table: pa.Table, group: str | None, mapped: Mapping[str, str]) -> list[str]:
    """For every row the smallest root id of the set it belongs to (union-find over all that ties rows together)."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        root = node
        while parent.setdefault(root, root) != root:
            root = parent[root]
        while parent[node] != root:
            parent[node], node = root, parent[node]
        return root

    groups = table.column("group").to_pylist()
    ties: list[tuple[str, Iterable[Any]]] = []
    if "cluster" in table.column_names:
        ties.append(("cluster", table.column("cluster").to_pylist()))
    if group is not None:
        ties.append(("column", _values(table, group, mapped)))
    for kind, values in ties:
        for root, value in zip(groups, values, strict=True):
            if value is not None and value != "":
                one, other = find(("group", root)), find((kind, str(value)))
                parent[max(one, other)] = min(one, other)
    tops = [find(("group", root)) for root in groups]
    smallest: dict[tuple[str, str], str] = {}
    for top, root in zip(tops, groups, strict=True):
        smallest[top] = min(root, smallest.get(top, root))
    return [smallest[top] for top in tops]


def _values(table: pa.Table, column: str, mapped: Mapping[str, str]) -> list[Any]:
    """A column by its name in the schema or in the file.

    Raises:
        StepError: No row has it.
    """
    fields = [json.loads(text) if text else {} for text in table.column("fields").to_pylist()]
    known = {name for row in fields for name in row}
    if column in known:
        return [_plain(row.get(column)) for row in fields]
    ours = {theirs: name for name, theirs in mapped.items()}.get(column, column)
    plain = [item.name for item in table.schema if pa.types.is_string(item.type) and item.name not in ("fields", "id")]
    if ours in plain:
        values: list[Any] = table.column(ours).to_pylist()
        return values
    raise StepError(f"split: no column '{column}' in the rows", hint=suggest(column, [*plain, *known]))


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, (list, dict)) else value


def _by(table: pa.Table, column: str, mapped: Mapping[str, str]) -> list[str]:
    sides: list[str] = []
    for row, value in enumerate(_values(table, column, mapped)):
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
    for root, side in zip(_sets(table, None, {}), sides, strict=True):
        found[root].add(side)
    count = sum(len(names) > 1 for names in found.values())
    return [f"{count} sets of related rows stand on more than one side of the data's own split"] if count else []
