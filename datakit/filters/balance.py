"""At most so many rows of each label on the training side; which ones stay is decided by hash, not by order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core import step as core
from datakit.core.errors import StepError
from datakit.core.registry import suggest
from datakit.core.step import StepContext, StepOutput
from datakit.filters.columns import drop_rows, is_train

__all__ = ["BalanceParams", "BalanceStep", "lot"]


class BalanceParams(core.Params):
    """Parameters of ``balance``.

    Attributes:
        by: The column whose values are balanced: ``label``, ``source``, ``template``, or one of the file's.
        max_rows: Rows of one value.
        max_ratio: Or rows of one value for each row of the rarest.
        seed: Decides which rows stay; the recipe's by default.
    """

    by: str = "label"
    max_rows: int | None = Field(default=None, ge=1)
    max_ratio: float | None = Field(default=None, ge=1)
    seed: int | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> BalanceParams:
        if (self.max_rows is None) == (self.max_ratio is None):
            raise ValueError("give max_rows or max_ratio, one of the two")
        return self


def lot(seed: int, id: str) -> bytes:
    """A row's place in a random order that depends on seed and id alone."""
    return hashlib.blake2b(f"lot\x00{seed}\x00{id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


class BalanceStep:
    """Drops rows of frequent values: ``over_cap``. Rows without a value and those of other splits stay."""

    name: ClassVar[str] = "balance"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "table"
    train_only: ClassVar[bool] = True
    Params: ClassVar[type[core.Params]] = BalanceParams

    def __init__(self, params: BalanceParams, context: StepContext) -> None:
        self.params, self.context = params, context

    def fingerprint(self) -> str:
        """Nothing outside the parameters."""
        return ""

    def columns(self) -> list[str]:
        """The column it needs."""
        return [self.params.by]

    def apply(self, table: pa.Table) -> StepOutput:
        """Counts, caps and drops."""
        ids, train = table.column("id").to_pylist(), is_train(table)
        rows: dict[str, list[int]] = defaultdict(list)
        for row, value in enumerate(self._values(table)):
            if train[row] and value is not None:
                rows[value].append(row)
        if not rows:
            return drop_rows(self.name, table, {}, lambda row: {})
        rarest = min(map(len, rows.values()))
        cap = self.params.max_rows or int((self.params.max_ratio or 1) * rarest)
        seed = self.context.seed_of(self.params.seed)
        gone: dict[int, int] = {}
        for found in rows.values():
            order = sorted(found, key=lambda row: (lot(seed, ids[row]), ids[row]))
            gone |= dict.fromkeys(order[cap:], len(found))
        reasons = dict.fromkeys(gone, "over_cap")
        return drop_rows(self.name, table, reasons, lambda row: {"rows": gone[row], "max_rows": cap})

    def _values(self, table: pa.Table) -> list[str | None]:
        by = self.params.by
        if by in ("label", "source", "template"):
            values: list[Any] = table.column(by).to_pylist()
        else:
            fields = [json.loads(text) if text else {} for text in table.column("fields").to_pylist()]
            counts = Counter(name for row in fields for name in row)
            mapped = {theirs: ours for names in self.context.columns.values() for ours, theirs in names.items()}
            if by not in counts and mapped.get(by) in ("label", "text"):
                values = table.column(mapped[by]).to_pylist()
            elif by not in counts and table.num_rows:
                raise StepError(f"balance: no column '{by}' in the rows", hint=suggest(by, ["label", *counts]))
            else:
                values = [row.get(by) for row in fields]
        return [None if value is None else str(value) for value in values]
