"""The items whose answer changed: forgotten and learnt, and in which way an answer went wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.guard import TaskPair

__all__ = ["FLIPS", "STATUSES", "flips_schema", "flips_table"]

FLIPS = ("task", "item_id", "direction", "status", "prompt", "target", "before", "after", "score_before", "score_after")

STATUSES = ("wrong", "format", "unreadable", "refused", "truncated", "empty", "unjudged")
"""How an answer failed; ``format`` is a bare label of the new task given as an answer to something else."""

HALF = 0.5  # scores that are not 0 or 1 count as flipped from this change on


def flips_schema() -> pa.Schema:
    """Schema of the flips table; ``before`` and ``after`` are the two answers."""
    import pyarrow as pa

    return pa.schema([(name, pa.float64() if name.startswith("score") else pa.string()) for name in FLIPS])


def _plain(text: str | None) -> str:
    return (text or "").strip().strip("\"'.").casefold()


def _status(recorded: str | None, answer: str | None, foreign: Collection[str]) -> str:
    if foreign and _plain(answer) in foreign:
        return "format"
    return "wrong" if recorded in (None, "ok") else recorded


def _task_flips(pair: TaskPair, labels: Set[str]) -> Iterable[dict[str, Any]]:
    import numpy as np

    old, new = (
        np.asarray(table.column("score").to_numpy(zero_copy_only=False)) * (1 if pair.info.higher_is_better else -1)
        for table in (pair.before, pair.after)
    )
    positions = np.flatnonzero(np.abs(new - old) >= HALF)
    if not positions.size:
        return
    columns = ["item_id", "prompt", "target", "answer", "status", "score"]
    before, after = (table.select(columns).take(positions).to_pylist() for table in (pair.before, pair.after))
    foreign = labels & {_plain(row["answer"]) for row in (*before, *after)}  # seldom any, and then few
    if foreign:
        foreign -= {_plain(target) for target in pair.before.column("target").to_pylist()}
    for first, second in zip(before, after, strict=True):
        lost = (second["score"] < first["score"]) == pair.info.higher_is_better
        failed = second if lost else first
        yield {
            "task": pair.task,
            "item_id": first["item_id"],
            "direction": "lost" if lost else "gained",
            "status": _status(failed["status"], failed["answer"], foreign),
            "prompt": first["prompt"],
            "target": first["target"],
            "before": first["answer"],
            "after": second["answer"],
            "score_before": first["score"],
            "score_after": second["score"],
        }


def flips_table(pairs: Iterable[TaskPair], *, labels: Iterable[str] = ()) -> pa.Table:
    """All flips of all tasks but drift, columns :data:`FLIPS`, in the order of tasks and item ids.

    Args:
        pairs: Paired tasks.
        labels: Labels of the new task. An answer that is one of them, and is no answer of its own task, is counted as
            a loss of format: the model answers everything as if it were the new task.

    Returns:
        For binary scores exactly the discordant items; for others those whose score moved by 0.5 or more. ``status``
        is that of the answer that failed: the later one of a lost item, the earlier one of a gained item.
    """
    import pyarrow as pa

    known = {_plain(label) for label in labels} - {""}
    rows = [row for pair in pairs if pair.info.kind != "drift" for row in _task_flips(pair, known)]
    return pa.Table.from_pylist(rows, schema=flips_schema())
