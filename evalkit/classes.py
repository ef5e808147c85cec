"""The classes of a labelled task, one by one: which a model gained or lost, and what it takes them for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.log import EvalLog

__all__ = ["MAX_CLASSES", "ClassRow", "per_class"]

MAX_CLASSES = 200


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class, by the right answer.

    Attributes:
        label: The class.
        n: Its items.
        before: Share that the model before has right.
        after: Share that the model after has right.
        gained: Items wrong before and right after.
        lost: Items right before and wrong after.
        confused_with: Most frequent wrong answer of the model after; None where none is wrong.
        confused: How often.
    """

    label: str
    n: int
    before: float
    after: float
    gained: int
    lost: int
    confused_with: str | None
    confused: int


def per_class(before: EvalLog, after: EvalLog, task: str) -> tuple[ClassRow, ...]:
    """A row per class, worst after first; empty where the task has no classes.

    A task has classes where its right answers are few and repeated, every score is 0 or 1, and its texts are in the
    logs (those of a private source are not). Items that stand in one log only are left out.

    Args:
        before: Log of the model before.
        after: Log of the model after.
        task: Name of the task.
    """
    old, new = (_rows(log, task) for log in (before, after))
    shared = sorted(old.keys() & new.keys())
    labels = [new[item][0] for item in shared]
    counts = Counter(labels)
    if not shared or len(counts) > min(MAX_CLASSES, len(shared) // 2) or len(counts) < 2:
        return ()
    if {old[item][2] for item in shared} | {new[item][2] for item in shared} > {0.0, 1.0}:
        return ()
    rows = [_class(label, [(old[item], new[item]) for item in shared if new[item][0] == label]) for label in counts]
    return tuple(sorted(rows, key=lambda row: (row.after, row.label)))


_Item = tuple[str, str, float]


def _class(label: str, items: Sequence[tuple[_Item, _Item]]) -> ClassRow:
    wrong = Counter(new[1] for _, new in items if new[2] < 1)
    name, count = min(wrong.items(), key=lambda entry: (-entry[1], entry[0])) if wrong else (None, 0)
    return ClassRow(
        label=label,
        n=len(items),
        before=sum(old[2] for old, _ in items) / len(items),
        after=sum(new[2] for _, new in items) / len(items),
        gained=sum(old[2] < new[2] for old, new in items),
        lost=sum(old[2] > new[2] for old, new in items),
        confused_with=name,
        confused=count,
    )


def _rows(log: EvalLog, task: str) -> dict[str, _Item]:
    """Item to right answer, given answer and score; nothing where the texts were replaced by hashes."""
    settings = log.header.settings.get("tasks", {}).get(task, {})
    if log.header.settings.get("private") is True and settings.get("private", True):
        return {}
    import pyarrow.compute as pc

    table: pa.Table = log.items.filter(pc.field("is_primary") & (pc.field("task") == task))
    found: dict[str, _Item] = {}
    columns = (table.column(name).to_pylist() for name in ("item_id", "target", "answer", "score"))
    for item, target, answer, score in zip(*columns, strict=True):
        if target is not None:
            found[item] = (" ".join(target.split()), " ".join((answer or "").split()), score)
    return found
