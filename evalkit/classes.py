"""Class by class: what a tuned model gained and lost on a task of labels, and with what it mixes up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from evalkit.errors import EvalError
from evalkit.guard import pair_logs
from evalkit.log import EvalLog

__all__ = ["ClassRow", "ClassTable", "per_class"]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Items whose gold answer is one class.

    Attributes:
        label: The class.
        items: Their number.
        before: Share that was right before.
        after: Share that is right after.
        gained: Items wrong before and right after.
        lost: Items right before and wrong after.
        precision: Of the answers that name this class, the share that is right, after; None where none does.
        f1: Harmonic mean of recall and precision, after; 0 where nothing is right.
        confused_with: The most frequent wrong answer after; None where all are right.
        confused: How often.
    """

    label: str
    items: int
    before: float
    after: float
    gained: int
    lost: int
    precision: float | None
    f1: float
    confused_with: str | None
    confused: int


@dataclass(frozen=True, slots=True)
class ClassTable:
    """All classes of one task, the most frequent first.

    Attributes:
        task: Its name.
        rows: One per class.
        worst: The class with the lowest share of right answers after; the larger one where two are equal.
    """

    task: str
    rows: tuple[ClassRow, ...]
    worst: str

    def table(self) -> pa.Table:
        """One row per class, for Parquet and CSV."""
        from dataclasses import asdict

        return pa.Table.from_pylist([asdict(row) for row in self.rows])


def per_class(before: EvalLog, after: EvalLog, *, task: str | None = None) -> ClassTable:
    """Compares two models class by class.

    Args:
        before: Log of the model before.
        after: Log of the model after, on the same items.
        task: Which; the logs' only task by default.

    Raises:
        EvalError: No such task, or one whose items name no gold answer.
        NotComparable: The logs do not pair.
    """
    pairs = {pair.task: pair for pair in pair_logs(before, after, prompts="differ").pairs}
    if task is None and len(pairs) == 1:
        task = next(iter(pairs))
    if task is None or task not in pairs:
        raise EvalError(f"no task '{task}' in both logs", hint=f"They have: {', '.join(pairs)}")
    columns = [
        pairs[task].after.column("target").to_pylist(),
        *(table.column("score").to_pylist() for table in (pairs[task].before, pairs[task].after)),
        pairs[task].after.column("answer").to_pylist(),
    ]
    if any(target is None for target in columns[0]):
        raise EvalError(f"the items of task '{task}' name no gold answer", hint="Classes need a target")
    items = [(str(gold), old >= 1, new >= 1, answer) for gold, old, new, answer in zip(*columns, strict=True)]
    named = Counter(answer for _, _, _, answer in items)
    rows = [_row(label, [item for item in items if item[0] == label], named) for label in {item[0] for item in items}]
    rows.sort(key=lambda row: (-row.items, row.label))
    worst = min(rows, key=lambda row: (row.after, -row.items, row.label))
    return ClassTable(task, tuple(rows), worst.label)


def _row(label: str, items: list[tuple[str, bool, bool, str | None]], named: Counter[str | None]) -> ClassRow:
    right = sum(new for _, _, new, _ in items)
    wrong = Counter(answer for _, _, new, answer in items if not new and answer is not None)
    confused_with, confused = min(wrong.items(), key=lambda one: (-one[1], one[0])) if wrong else (None, 0)
    # Answers that are no class of their own (free text) count for the class they were right for.
    claimed = max(named[label], right)
    recall, precision = right / len(items), right / claimed if claimed else None
    return ClassRow(
        label=label,
        items=len(items),
        before=sum(old for _, old, _, _ in items) / len(items),
        after=recall,
        gained=sum(new and not old for _, old, new, _ in items),
        lost=sum(old and not new for _, old, new, _ in items),
        precision=precision,
        f1=2 * recall * precision / (recall + precision) if precision and recall else 0.0,
        confused_with=confused_with,
        confused=confused,
    )
