"""What steps decide about the rows of plain files: batch by batch, or after all were seen."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.step import Step, StepOutput
from datakit.plain.changes import Changes, changes_between
from datakit.plain.mapping import Mapper
from datakit.plain.records import Batch, Record
from datakit.sources import BadRow

__all__ = ["Drop", "Judge", "RowJudge", "TableJudge", "Verdict", "apply"]

_ID = re.compile(r"[0-9a-f]{32} (.+)", re.S)

Drop = tuple[str, str, Any]
"""Step, reason, evidence."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one batch, by the place of a row in it.

    Attributes:
        drops: Rows that go.
        changes: New values of rows that stay.
        found: What a step reports of rows that stay as they are.
    """

    drops: dict[int, Drop] = field(default_factory=dict)
    changes: dict[int, Changes] = field(default_factory=dict)
    found: dict[int, Drop] = field(default_factory=dict)


class Judge(Protocol):
    """Decides about the readable rows of a batch."""

    def judge(self, batch: Batch) -> Verdict:
        """What happens to them."""
        ...


def apply(step: Step, table: pa.Table) -> StepOutput:
    """A step's output, balanced; rows nested too deep for it are an error of theirs.

    Raises:
        StepError: It lost or made rows, or cannot do what is asked.
    """
    try:
        output = step.apply(table)
    except RecursionError:
        raise StepError(f"{step.name}: a row is nested too deep", hint="Flatten it, or take the column out") from None
    output.balance(step.name, table.num_rows)
    if output.count("created"):
        raise StepError(
            f"'{step.name}' makes new rows, which have no place in the file", hint="Use it in a recipe: datakit build"
        )
    return output


def _drops(
    outputs: Sequence[tuple[str, StepOutput]], actions: Collection[str] = ("dropped", "merged")
) -> dict[str, Drop]:
    found: dict[str, Drop] = {}
    for name, output in outputs:
        for row in output.ledger.to_pylist():
            if row["action"] in actions:
                found[row["example_id"]] = (name, row["reason"], json.loads(row["evidence"] or "{}"))
    return found


class RowJudge:
    """Runs row steps on one batch after another.

    Args:
        steps: In order; each gets the rows the one before left.
        mapper: Its ids are origins.
        rewrites: The steps change values, so that ``fields`` holds the whole row and is compared.
    """

    def __init__(self, steps: Sequence[Step], mapper: Mapper, *, rewrites: bool) -> None:
        self.steps, self.mapper, self.rewrites = steps, mapper, rewrites

    def judge(self, batch: Batch) -> Verdict:
        """Applies the steps."""
        places = [index for index, record in enumerate(batch.records) if not isinstance(record.value, BadRow)]
        if not places:
            return Verdict()
        table = before = self.mapper.table([batch.records[index] for index in places])
        outputs: list[tuple[str, StepOutput]] = []
        for step in self.steps:
            if not table.num_rows:
                break
            outputs.append((step.name, apply(step, table)))
            table = outputs[-1][1].table
        origin = {batch.records[index].origin: index for index in places}
        drops = {origin[name]: drop for name, drop in _drops(outputs).items()}
        changes = {origin[name]: found for name, found in self._changes(before, table).items()}
        return Verdict(drops, changes)

    def _changes(self, before: pa.Table, after: pa.Table) -> dict[str, Changes]:
        old = _by_id(before, "fields")
        found: dict[str, Changes] = {}
        for name, new in _by_id(after, "fields").items():
            if new == old[name]:
                continue
            if not self.rewrites:
                raise StepError("this step rewrites rows, which was not expected", where=name)
            found[name] = dict(changes_between(json.loads(old[name]), json.loads(new)))
        return found


def _by_id(table: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(table.column("id").to_pylist(), table.column(column).to_pylist(), strict=True))


class TableJudge:
    """Sees every row first, then answers batch by batch, in the same order.

    Args:
        mapper: Its ids begin with hashes of the content.
    """

    def __init__(self, mapper: Mapper) -> None:
        self.mapper = mapper
        self.tables: list[pa.Table] = []
        self.drops: dict[int, Drop] = {}
        self.found: dict[int, Drop] = {}
        self.after: pa.Table | None = None
        self.numbers: dict[str, int] = {}

    def see(self, records: Sequence[Record]) -> None:
        """More rows."""
        good = [record for record in records if not isinstance(record.value, BadRow)]
        if good:
            table = self.mapper.table(good)
            self.tables.append(table)
            self.numbers |= dict(zip(table.column("id").to_pylist(), (record.number for record in good), strict=True))

    def decide(self, steps: Sequence[Step]) -> None:
        """All rows were seen: runs the steps."""
        if not self.tables:
            return
        table = pa.concat_tables(self.tables)
        self.tables.clear()
        origins = _by_id(table, "origin")
        outputs: list[tuple[str, StepOutput]] = []
        for step in steps:
            if not table.num_rows:
                break
            outputs.append((step.name, apply(step, table)))
            table = outputs[-1][1].table
        self.after = table
        self.drops, self.found = (
            {
                self.numbers[name]: (step, reason, _readable(evidence, origins))
                for name, (step, reason, evidence) in _drops(outputs, actions).items()
            }
            for actions in (("dropped", "merged"), ("changed",))
        )

    def judge(self, batch: Batch) -> Verdict:
        """What was decided about these rows."""
        numbers = [record.number for record in batch.records]
        drops, found = (
            {index: told[number] for index, number in enumerate(numbers) if number in told}
            for told in (self.drops, self.found)
        )
        return Verdict(drops, found=found)


def _readable(value: Any, origins: Mapping[str, str]) -> Any:
    """Evidence with the places of rows where it names their ids, those of earlier calls too."""
    if isinstance(value, str):
        earlier = _ID.fullmatch(value)
        return origins.get(value, value if earlier is None else earlier[1])
    if isinstance(value, dict):
        return {key: _readable(item, origins) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item, origins) for item in value]
    return value
