"""Cells: one arm with one seed. Training a cell, choosing from its grid, and knowing that it is done already."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.adapters import is_adapter
from datakit.core.errors import DatakitError, UsageError
from datakit.core.hashing import tree_digest
from datakit.core.registry import suggest
from datakit.core.storage import locked, read_json
from datakit.experiment.cell_key import CellKey, built_facts, complete_note, is_trained, note_trained
from datakit.experiment.events import Event, Listener
from datakit.experiment.layout import Layout
from datakit.experiment.models import model_digest
from datakit.experiment.preview import preview
from datakit.experiment.probe import asked_of_suite, looks_at_suite, suite_probe
from datakit.experiment.recipe import MAX_SEED, Recipe

if TYPE_CHECKING:
    from train import Arm, Flat, Resumed, Stopped
    from train import Event as TrainEvent

__all__ = ["Cell", "Trained", "cell_keys", "cells", "general_files", "train_cell"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm with one seed."""

    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folders, ``arm-seed``."""
        return f"{self.arm}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained cell.

    Attributes:
        cell: Which.
        folder: Weights or adapter.
        adapter: Whether the folder holds an adapter over the base.
        fresh: Trained just now, not found from an earlier call.
    """

    cell: Cell
    folder: Path
    adapter: bool
    fresh: bool


def cells(recipe: Recipe, *, arm: str | None = None, seed: int | None = None) -> list[Cell]:
    """The cells of a recipe, arms in the file's order; one arm or seed on request.

    Raises:
        UsageError: No such arm, or a number that is no seed.
    """
    if arm is not None and arm not in recipe.arms:
        raise UsageError(f"no arm '{arm}' in {recipe.path.name}", hint=suggest(arm, list(recipe.arms)))
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise UsageError(f"a seed is a whole number from 0 to {MAX_SEED:,}, not {seed}")
    arms = list(recipe.arms) if arm is None else [arm]
    seeds = list(recipe.seeds) if seed is None else [seed]
    return [Cell(name, number) for number in seeds for name in arms]


def cell_keys(recipe: Recipe, cells: Iterable[Cell], model: Path, data: Path) -> dict[Cell, CellKey]:
    """Everything that determines the weights of each cell; weights, data and suite are read once for all."""
    wanted = list(cells)
    shared = {
        "chat": recipe.chat.model_dump(),
        "model": model_digest(model),
        "data": tree_digest(data, ("*.parquet",)),
    }
    looking = {cell.arm for cell in wanted if looks_at_suite(recipe.arms[cell.arm])}
    suite = {"suite": asked_of_suite(recipe)} if looking else {}
    built = built_facts(data.with_name("manifest.json"))
    keys = {}
    for cell in wanted:
        arm = recipe.arms[cell.arm]
        own = {"arm": arm.training, "modules": arm.modules_digest(recipe.folder), "seed": cell.seed}
        keys[cell] = CellKey({**own, **(suite if cell.arm in looking else {}), **shared}, built)
    return keys


def _fit(
    recipe: Recipe,
    cell: Cell,
    arm: Arm,
    model: Path,
    layout: Layout,
    output: Path,
    listen: Listener,
    *,
    shows_rows: bool,
    chooses: str | None,
) -> None:
    from train import Checked, Flat, Preflight, Resumed, StepDone, Stopped, Validated, Watched, fit, step_course

    forgotten = ""

    def heard(event: TrainEvent) -> None:
        nonlocal forgotten
        if isinstance(event, Validated) and "forgetting" in event.probe:
            forgotten = f" · forgetting {event.probe['forgetting']:.3f}"
        if isinstance(event, StepDone):
            text = f"{cell.name} {event.step}/{event.steps}{forgotten} · {step_course(event)}"
            listen(Event("train", cell.name, text, event.step / event.steps, final=False))
        elif isinstance(event, Checked) and not event.passed:
            listen(Event("train", cell.name, f"{cell.arm:<12} note: {event.text}"))
        elif isinstance(event, Resumed | Stopped | Flat):
            for line in _remark(event):
                listen(Event("train", cell.name, f"{cell.name:<12} {line}"))
        elif isinstance(event, Watched):
            why = f"ended after step {event.step}: {event.why} · " if event.why else ""
            listen(Event("train", cell.name, f"{cell.name:<12} {why}kept is the state after step {event.kept}"))
        elif isinstance(event, Preflight) and shows_rows:
            for pieces in event.rows:
                listen(Event("train", "rows", preview(pieces)))

    listen(Event("train", cell.name, f"{cell.name} · loading the model, looking at rows", final=False))
    fit(
        arm,
        model=model,
        data=layout.data,
        output=output,
        chat=recipe.chat,
        seed=cell.seed,
        replay=general_files(arm, layout),
        probe=suite_probe(recipe, arm, model),
        offline=recipe.offline,
        progress=heard,
        imports=recipe.folder,
        chooses=chooses,
    )


def _remark(event: Resumed | Stopped | Flat) -> list[str]:
    from train import Flat, Stopped

    if isinstance(event, Flat):
        return [f"the loss has not fallen by step {event.step}: {event.first:.3f} at first, {event.last:.3f} now"]
    if isinstance(event, Stopped):
        return [f"{event.signal}: stopped after step {event.step} of {event.steps}; the same command goes on"]
    lines = [f"the saved state {name} is damaged and not used" for name in event.damaged]
    return lines + ([f"goes on after step {event.step} of {event.steps}"] if event.step else [])


def general_files(arm: Arm, layout: Layout) -> dict[str, Path]:
    """The files of the sources of general rows that an arm needs, by name."""
    return {name: layout.data / "replay" / f"{name}.parquet" for name in arm.sources.values()}


@dataclass(frozen=True, slots=True)
class _Point:
    """A trained point of a grid."""

    folder: Path
    steps: int
    seconds: float
    validation_loss: float | None


def _point(folder: Path) -> _Point:
    written = read_json(folder / "train.json", format=_FORMAT)
    return _Point(folder, *(written[name] for name in ("steps", "seconds", "validation_loss")))


def _choose(
    recipe: Recipe, cell: Cell, model: Path, layout: Layout, listen: Listener, *, key: CellKey, shows_rows: bool
) -> tuple[_Point, list[dict[str, Any]]]:
    """Trains every point of the arm's grid and keeps the one with the lowest validation loss.

    The choice looks at the new task alone: neither the general suite nor the test split is read. Points that an
    earlier call finished are not trained again.
    """
    target = layout.model(cell.name)
    best: _Point | None = None
    tried: list[dict[str, Any]] = []
    points = recipe.arms[cell.arm].grid()
    for number, point in enumerate(points):
        output = target if len(points) == 1 else target.with_name(f".{target.name}.grid-{number}")
        own = CellKey({"cell": key.hash, "point": point.training})
        if len(points) == 1 or not is_trained(output, own):
            shown = shows_rows and number == 0
            chooses = f"the grid of arm '{cell.arm}'" if len(points) > 1 else None
            _fit(recipe, cell, point, model, layout, output, listen, shows_rows=shown, chooses=chooses)
            if len(points) > 1:
                note_trained(output, own)
        result = _point(output)
        tried.append(
            {
                "learning_rate": point.learning_rate,
                "steps": result.steps,
                "validation_loss": result.validation_loss,
            }
        )
        if best is None or (result.validation_loss or 0.0) < (best.validation_loss or 0.0):
            best = result
    if best is None:
        raise DatakitError(f"the arm '{cell.arm}' has an empty grid")
    if best.folder != target:
        shutil.rmtree(target, ignore_errors=True)
        best.folder.rename(target)
        for left in target.parent.glob(f".{target.name}.grid-*"):
            shutil.rmtree(left)
    return best, tried


def train_cell(
    recipe: Recipe,
    cell: Cell,
    model: Path,
    layout: Layout,
    listen: Listener,
    *,
    key: CellKey,
    shows_rows: bool = False,
) -> Trained:
    """Trains a cell unless the same one stands there already; another process at the same cell is waited for.

    Args:
        recipe: The recipe.
        cell: Arm and seed.
        model: Folder of the base.
        layout: The run, with its data built.
        listen: Hears what happens.
        key: Of :func:`cell_keys`.
        shows_rows: Tell three rows with their trained tokens marked before the first step.

    Raises:
        TrainError: And its children, from ``train``.
    """
    folder = layout.model(cell.name)
    with locked(folder.with_name(f".{cell.name}.lock")):
        fresh = not is_trained(folder, key)
        if fresh:
            shutil.rmtree(layout.evaluation(cell.name), ignore_errors=True)  # of other weights
            result, tried = _choose(recipe, cell, model, layout, listen, key=key, shows_rows=shows_rows)
            note_trained(folder, key, arm=cell.arm, seed=cell.seed, grid=tried)
        else:
            complete_note(folder, key)
    if fresh:
        loss = "none" if result.validation_loss is None else f"{result.validation_loss:.3f}"
        minutes, seconds = divmod(round(result.seconds), 60)
        steps = "1 step" if result.steps == 1 else f"{result.steps} steps"
        text = f"{cell.arm:<12} {steps} · validation loss {loss} · {minutes}:{seconds:02d}"
    else:
        text = f"{cell.arm:<12} done before"
    if len(recipe.seeds) > 1:
        text += f" · seed {cell.seed}"
    listen(Event("train", cell.name, text, 1.0))
    return Trained(cell, folder, is_adapter(folder), fresh)
