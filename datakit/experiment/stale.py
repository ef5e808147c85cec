"""Evaluations that a changed recipe, model or dataset made untrue leave the run before a report can read them.

Nothing dear is lost: what was computed stays in the store under its key and is taken from there if it is wanted again.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from datakit.core.errors import DatakitError
from datakit.core.storage import storage_errors
from datakit.experiment.arms import Cell, is_trained
from datakit.experiment.events import Event, Listener
from datakit.experiment.layout import Layout

__all__ = ["drop_curves", "drop_stale", "drop_suites", "drop_unlike"]


def drop_stale(keys: Mapping[Cell, str], layout: Layout) -> None:
    """Removes evaluations of cells whose arm, base, data or chat settings changed after they were trained.

    Args:
        keys: Cell to its key today; see :func:`datakit.experiment.arms.cell_keys`.
        layout: The run.
    """
    for cell, key in keys.items():
        folder = layout.evaluation(cell.name)
        if is_trained(layout.model(cell.name), key):
            continue
        if layout.curve(cell.name).is_dir():
            drop_curves(cell, layout)
        if folder.is_dir():
            with storage_errors(folder):
                shutil.rmtree(folder)


def drop_curves(cell: Cell, layout: Layout) -> None:
    """Removes the curves of a cell's earlier weights, and the page that shows them."""
    with storage_errors(layout.root):
        shutil.rmtree(layout.curve(cell.name), ignore_errors=True)
        for name in ("curve.html", "curve.json"):
            (layout.root / name).unlink(missing_ok=True)


def drop_suites(folder: Path, *, kept: Collection[str]) -> None:
    """Removes the logs of suites that the recipe no longer names from one model's folder."""
    for file in sorted(folder.glob("*.json")):  # a log is read by its header
        if file.stem not in kept:
            with storage_errors(file):
                file.unlink()
                file.with_suffix(".parquet").unlink(missing_ok=True)


def drop_unlike(cells: Iterable[Cell], layout: Layout, listen: Listener) -> None:
    """Removes evaluations that this call did not write and that no longer ask what the base was asked.

    Args:
        cells: Those left out of this call.
        layout: The run, with the base evaluated.
        listen: Hears which ones.
    """
    from evalkit.guard import pair_logs
    from evalkit.report.run import read_logs

    base = {log.header.suite: log for log in read_logs(layout.evaluation("base"))}
    for cell in cells:
        folder = layout.evaluation(cell.name)
        if not folder.is_dir():
            continue
        try:
            logs = {log.header.suite: log for log in read_logs(folder)}
            alike = logs.keys() == base.keys()
            for suite in base if alike else ():
                pair_logs(base[suite], logs[suite])
        except DatakitError:
            alike = False
        if not alike:
            with storage_errors(folder):
                shutil.rmtree(folder)
            text = f"{cell.name:<12} was asked other questions before; left out until it is run again"
            listen(Event("evaluate", cell.name, text))
