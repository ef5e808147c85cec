"""Items to choose on, and items to report on: whatever is selected by a suite is reported on items it did not see."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from datakit.core.hashing import digest
from evalkit.log import EvalLog

__all__ = ["SELECTION_TENTHS", "is_selection", "split_log"]

SELECTION_TENTHS = 3


def is_selection(doc_hash: str) -> bool:
    """Whether an item is one to choose on: hash(doc) mod 10 < 3. The same document always falls on the same side."""
    return int(digest("selection", doc_hash), 16) % 10 < SELECTION_TENTHS


def split_log(log: EvalLog, *, kinds: Collection[str] = ("general", "gain")) -> tuple[EvalLog, EvalLog]:
    """A log as two: three tenths of the items to choose on (a checkpoint, a weight, a point on the front), the rest.

    Items of one cluster stay together. Tasks of other kinds (drift) stand whole in both.

    Args:
        log: Of any model; two logs of the same items are split alike.
        kinds: Kinds of tasks that are split.

    Returns:
        ``(selection, report)``. A task that has no item on one side is missing there.
    """
    import pyarrow as pa

    columns = ("task", "item_id", "doc_hash", "cluster")
    rows = list(zip(*(log.items.column(name).to_pylist() for name in columns), strict=True))
    shared = _shared_clusters(rows)
    sides = []
    for task, item, doc, cluster in rows:
        own = f"cluster {cluster}" if (task, cluster) in shared else doc or item
        sides.append(None if log.header.tasks[task].kind not in kinds else is_selection(own))
    found = []
    for wanted in (True, False):
        kept = log.items.filter(pa.array([side in (None, wanted) for side in sides], pa.bool_()))
        left = set(kept.column("task").to_pylist())
        tasks = {name: info for name, info in log.header.tasks.items() if name in left}
        found.append(EvalLog(replace(log.header, tasks=tasks), kept))
    return found[0], found[1]


def _shared_clusters(rows: list[tuple[str, str, str, str]]) -> set[tuple[str, str]]:
    """Clusters of more than one item."""
    items: dict[tuple[str, str], set[str]] = {}
    for task, item, _, cluster in rows:
        if cluster is not None:
            items.setdefault((task, cluster), set()).add(item)
    return {key for key, own in items.items() if len(own) > 1}
