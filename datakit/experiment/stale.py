"""Evaluations that a changed recipe, model or dataset made untrue leave the run before a report can read them.

Nothing dear is lost: what was computed stays in the store under its key and is taken from there if it is wanted again.
Whoever listens hears which ones leave, and why.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.errors import DatakitError, StorageError
from datakit.core.storage import read_json, storage_errors
from datakit.experiment.arms import Cell
from datakit.experiment.cell_key import CellKey, difference
from datakit.experiment.events import Event, Listener
from datakit.experiment.layout import Layout

if TYPE_CHECKING:
    from evalkit.log import EvalLog

__all__ = ["drop_curves", "drop_stale", "drop_suites", "drop_unlike", "tell_dropped"]


def drop_stale(keys: Mapping[Cell, CellKey], layout: Layout, listen: Listener) -> None:
    """Removes evaluations of cells whose arm, base, data or chat settings changed after they were trained.

    Args:
        keys: Cell to its key today; see :func:`datakit.experiment.arms.cell_keys`.
        layout: The run.
        listen: Hears which ones, and what changed.
    """
    dropped: dict[str, str] = {}
    for cell, key in keys.items():
        why = difference(layout.model(cell.name), key)
        if why is None:
            continue
        folder = layout.evaluation(cell.name)
        if drop_curves(cell, layout) or folder.is_dir():
            dropped[cell.name] = why
        if folder.is_dir():
            with storage_errors(folder):
                shutil.rmtree(folder)
    tell_dropped(dropped, listen, until="trained")


def tell_dropped(dropped: Mapping[str, str], listen: Listener, *, until: str) -> None:
    """Tells whose evaluations left the run and why: a line for each reason.

    Args:
        dropped: Name of a cell to the reason.
        listen: Hears it.
        until: What brings them back: ``trained`` or ``run`` again.
    """
    for why in dict.fromkeys(dropped.values()):
        names = [name for name, own in dropped.items() if own == why]
        text = f"evaluations of {', '.join(names)}: {why}; left out until {until} again"
        listen(Event("dropped", names[0], text))


def drop_curves(cell: Cell, layout: Layout) -> bool:
    """Removes curves and interpolations of a cell's earlier weights, the pages that show them, and what recover found.

    Returns:
        Whether there were any.
    """
    found = False
    with storage_errors(layout.root):
        for folder, stem in ((layout.curve(cell.name), "curve"), (layout.interpolation(cell.name), "interpolate")):
            if folder.is_dir():
                found = True
                shutil.rmtree(folder)
                for suffix in ("html", "json"):
                    (layout.root / f"{stem}.{suffix}").unlink(missing_ok=True)
        recovered = layout.root / "recover.json"
        if recovered.is_file() and _is_about(recovered, cell):
            found = True
            recovered.unlink()
    return found


def _is_about(file: Path, cell: Cell) -> bool:
    try:
        facts = read_json(file)
    except StorageError:
        return False
    return (facts.get("arm"), facts.get("seed")) == (cell.arm, cell.seed)


def drop_suites(folder: Path, *, kept: Collection[str], listen: Listener) -> None:
    """Removes the logs of suites that the recipe no longer names from one model's folder.

    Args:
        folder: Of the model's logs.
        kept: Names of the suites that stay.
        listen: Hears which ones leave.
    """
    for file in sorted(folder.glob("*.json")):  # a log is read by its header
        if file.stem not in kept:
            with storage_errors(file):
                file.unlink()
                file.with_suffix(".parquet").unlink(missing_ok=True)
            text = f"evaluation of {folder.name} on '{file.stem}': the recipe no longer asks it"
            listen(Event("dropped", folder.name, text))


def drop_unlike(cells: Iterable[Cell], layout: Layout, listen: Listener) -> None:
    """Removes evaluations that this call did not write and that no longer ask what the base was asked.

    Args:
        cells: Those left out of this call.
        layout: The run, with the base evaluated.
        listen: Hears which ones, and the first item or setting that differs.
    """
    from evalkit.report.run import read_logs

    base = {log.header.suite: log for log in read_logs(layout.evaluation("base"))}
    dropped: dict[str, str] = {}
    for cell in cells:
        folder = layout.evaluation(cell.name)
        if folder.is_dir() and (why := _unlike(base, folder)):
            with storage_errors(folder):
                shutil.rmtree(folder)
            dropped[cell.name] = why
    tell_dropped(dropped, listen, until="run")


def _unlike(base: Mapping[str, EvalLog], folder: Path) -> str:
    """In what a model was asked otherwise than the base; "" where in nothing."""
    from evalkit.guard import pair_logs
    from evalkit.report.run import read_logs

    try:
        own = {log.header.suite: log for log in read_logs(folder)}
        if alone := sorted(base.keys() ^ own.keys()):
            return f"the suite '{alone[0]}' was {'not ' if alone[0] in base else ''}asked before"
        for suite, log in base.items():
            pair_logs(log, own[suite])
    except DatakitError as error:
        return error.message
    return ""
