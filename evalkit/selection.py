"""Items to choose on, and items to report on: whatever is selected by a suite is reported on items it did not see."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from datakit.core.hashing import digest
from evalkit.log import EvalLog

__all__ = ["SELECTION_TENTHS", "asked_while_training", "is_selection", "may_be_asked", "split_log", "unseen_log"]

SELECTION_TENTHS = 3


def is_selection(doc_hash: str) -> bool:
    """Whether an item is one to choose on: hash(doc) mod 10 < 3. The same document always falls on the same side."""
    return int(digest("selection", doc_hash), 16) % 10 < SELECTION_TENTHS


def may_be_asked(doc_hash: str, cluster: str | None) -> bool:
    """Whether an item is sure to be one to choose on, whether or not others of its cluster are in the log."""
    return is_selection(doc_hash) and (cluster is None or is_selection(_cluster_name(cluster)))


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
        own = _cluster_name(cluster) if (task, cluster) in shared else doc or item
        sides.append(None if log.header.tasks[task].kind not in kinds else is_selection(own))
    found = []
    for wanted in (True, False):
        kept = log.items.filter(pa.array([side in (None, wanted) for side in sides], pa.bool_()))
        left = set(kept.column("task").to_pylist())
        tasks = {name: info for name, info in log.header.tasks.items() if name in left}
        found.append(EvalLog(replace(log.header, tasks=tasks), kept))
    return found[0], found[1]


def asked_while_training(facts: Mapping[str, Any]) -> bool:
    """Whether items of the suite decided how a training ended or which state is kept, by its train.json."""
    arm = facts.get("arm")
    watch = arm.get("watch") if isinstance(arm, Mapping) else None
    return isinstance(watch, Mapping) and bool(watch.get("items")) and bool(watch.get("stop"))


def unseen_log(log: EvalLog, why: str) -> EvalLog:
    """The log without the items of general tasks that a choice may have looked at; a note says how many, and why.

    Args:
        log: Of any model; two logs of the same items lose the same.
        why: A clause for the note.
    """
    kept = split_log(log, kinds=("general",))[1]
    general = {name for name, info in log.header.tasks.items() if info.kind == "general"}
    before, after = (_count(one, general) for one in (log, kept))
    if before == after:
        return log
    gone = sorted(general - set(kept.header.tasks))
    rest = f"; nothing is left of {', '.join(gone)}" if gone else ""
    note = (
        f"Of the general tasks {before - after:,} of {before:,} items are left out of every arm, the "
        f"{SELECTION_TENTHS} tenths that a choice may look at: {why}{rest}."
    )
    return replace(kept, header=replace(kept.header, notes=(*kept.header.notes, note)))


def _count(log: EvalLog, tasks: Collection[str]) -> int:
    columns = (log.items.column(name).to_pylist() for name in ("task", "item_id"))
    return len({row for row in zip(*columns, strict=True) if row[0] in tasks})


def _cluster_name(cluster: str) -> str:
    return f"cluster {cluster}"


def _shared_clusters(rows: list[tuple[str, str, str, str]]) -> set[tuple[str, str]]:
    """Clusters of more than one item."""
    items: dict[tuple[str, str], set[str]] = {}
    for task, item, _, cluster in rows:
        if cluster is not None:
            items.setdefault((task, cluster), set()).add(item)
    return {key for key, own in items.items() if len(own) > 1}
