"""Items of a suite that stand in the training data: which they are, and the comparison without them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.storage import read_table, write_table
from evalkit.errors import LogError
from evalkit.log import EvalLog

if TYPE_CHECKING:
    from evalkit.comparison import Comparison, Row

__all__ = ["FILE", "Clean", "clean_rows", "contaminated_items", "keep_items", "seen_notes", "without_items"]

FILE = "contamination.parquet"
_COLUMNS = ("task", "item_id", "covered")
_TRAINED = "in_training"


@dataclass(frozen=True, slots=True)
class Clean:
    """A task's row with and without the items that were seen in training.

    Attributes:
        task: Name.
        items: Items left out.
        row: The row of the rest; None where nothing is left.
    """

    task: str
    items: int
    row: Row | None


def contaminated_items(run: Path) -> dict[str, frozenset[str]] | None:
    """Task to ids of the items that a ``decontaminate`` step found, in rows that are trained on.

    Args:
        run: Folder of a run.

    Returns:
        None where the file is missing: nobody looked.

    Raises:
        LogError: The file has other columns.
    """
    path = run / FILE
    if not path.is_file():
        return None
    table = read_table(path)
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise LogError(f"the columns {missing} are missing", where=path)
    found: dict[str, set[str]] = {}
    rows = (table.column(name).to_pylist() for name in _COLUMNS)
    # Rows that were dropped, or went to another split, teach nothing; a file that does not say is taken at its word.
    kept = table.column(_TRAINED).to_pylist() if _TRAINED in table.column_names else [True] * table.num_rows
    for task, item, covered, trained in zip(*rows, kept, strict=True):
        if trained is not False and (covered is None or covered > 0):
            found.setdefault(str(task), set()).add(str(item))
    return {task: frozenset(items) for task, items in found.items()}


def keep_items(folder: Path, items: Mapping[str, Collection[str]] | None) -> None:
    """Writes into a folder of logs which items stand in the training data; None takes an older file away."""
    import pyarrow as pa

    path = folder / FILE
    if items is None:
        path.unlink(missing_ok=True)
        return
    rows = [
        {"task": task, "item_id": item, "covered": 1.0} for task, own in sorted(items.items()) for item in sorted(own)
    ]
    schema = pa.schema([("task", pa.string()), ("item_id", pa.string()), ("covered", pa.float64())])
    write_table(path, pa.Table.from_pylist(rows, schema=schema))


def without_items(log: EvalLog, items: Mapping[str, Collection[str]]) -> EvalLog:
    """The log without some items of some tasks; a task that loses them all is taken out of the header too."""
    import pyarrow as pa

    columns = (log.items.column(name).to_pylist() for name in ("task", "item_id"))
    keep = [item not in items.get(task, ()) for task, item in zip(*columns, strict=True)]
    kept = log.items.filter(pa.array(keep, pa.bool_()))
    left = set(kept.column("task").to_pylist())
    tasks = {name: info for name, info in log.header.tasks.items() if name in left}
    return EvalLog(replace(log.header, tasks=tasks), kept)


def seen_notes(log: EvalLog, items: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A sentence for each task some of whose items stand in the training data, with the score of the others."""
    import numpy as np

    table = log.primary()
    tasks, ids = (table.column(name).to_pylist() for name in ("task", "item_id"))
    scores = table.column("score").to_numpy(zero_copy_only=False)
    for task in log.header.tasks:
        own = np.array([name == task for name in tasks])
        seen = np.array([name == task and item in items.get(task, ()) for name, item in zip(tasks, ids, strict=True)])
        if not seen.any():
            continue
        start = f"Task '{task}': {seen.sum():,} of {own.sum():,} items stand in the training data"
        rest = scores[own & ~seen]
        yield f"{start}; the score of the others is {rest.mean():.3f}." if rest.size else f"{start}; no other is left."


def clean_rows(
    found: Comparison, before: EvalLog, after: EvalLog, items: Mapping[str, Collection[str]], *, seed: int = 0
) -> tuple[Clean, ...]:
    """The rows of a comparison again, without the items seen in training; only tasks that have some.

    Args:
        found: The comparison with all items.
        before: Log of the model before.
        after: Log of the model after.
        items: From :func:`contaminated_items`.
        seed: Seed of permutations and bootstraps.
    """
    from evalkit.compare import compare

    ids = {task: set[str]() for task in items}
    columns = (after.items.column(name).to_pylist() for name in ("task", "item_id"))
    for task, item in zip(*columns, strict=True):
        if item in items.get(task, ()):
            ids[task].add(item)
    ids = {row.task: ids[row.task] for row in found.rows if ids.get(row.task)}
    if not ids:
        return ()
    # All tasks again, the others too: Holm's adjustment is over the suite.
    logs = [without_items(log, items) for log in (before, after)]
    rows: dict[str, Row] = {}
    if logs[0].header.tasks and logs[1].header.tasks:
        differ = "differ" if found.settings or any("different prompts" in row.note for row in found.rows) else "same"
        again = compare(logs[0], logs[1], join="intersection", prompts=differ, alpha=found.alpha, seed=seed)  # type: ignore[arg-type]
        rows = {row.task: row for row in again.rows}
    return tuple(Clean(task, len(own), rows.get(task)) for task, own in ids.items())
