"""Stages run: every arm goes through the tasks one after another, and all tasks are measured after each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.adapters import ADAPTER_FILES, is_adapter
from datakit.core.errors import DatakitError, StorageError
from datakit.core.hashing import tree_digest
from datakit.core.storage import atomic_directory, locked, read_json, storage_errors, write_json
from datakit.experiment.arms import Cell, Trained, cell_keys, train_cell
from datakit.experiment.cell_key import difference
from datakit.experiment.evaluation import evaluate_cells, evaluate_model, suites
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.part import make_part, split_rows
from datakit.experiment.recipe import Recipe
from datakit.experiment.stage import Stage
from datakit.experiment.stale import drop_stale, tell_dropped
from datakit.mixing.subset import nested_subsets

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.suite import Suite

__all__ = ["drop_stages", "run_stages", "stage_parts", "write_stages"]

_FORMAT = 1
_NOTE = "merged.json"


def drop_stages(recipe: Recipe, cells: Sequence[Cell], model: Path, layout: Layout, listen: Listener) -> None:
    """Removes evaluations and models of cells that are no longer what the recipe says, before a report can read them.

    Args:
        recipe: With stages.
        cells: All that a report may show.
        model: The base.
        layout: The run, with its data built.
        listen: Hears whose evaluations leave, and what changed.
    """
    places = stage_parts(recipe, layout)
    dropped: dict[str, str] = {}
    for cell in cells:
        why = _difference(recipe, cell, model, places)
        if why is not None:
            if layout.evaluation(cell.name).is_dir():
                dropped[cell.name] = why
            for folder in (layout.evaluation(cell.name), layout.model(cell.name)):
                with storage_errors(folder):
                    shutil.rmtree(folder, ignore_errors=True)
    tell_dropped(dropped, listen, until="trained")


def run_stages(recipe: Recipe, cells: Sequence[Cell], model: Path, layout: Layout, listen: Listener) -> None:
    """Trains the cells stage by stage and writes the logs of the base, of every stage, and of the last as the cell's.

    What is done already (the same inputs, checked by hash, the weights of the stage before among them) is not done
    again.

    Args:
        recipe: With stages.
        cells: Those to train.
        model: The base.
        layout: The run, with its data built.
        listen: Hears what happens.
    """
    places = stage_parts(recipe, layout)
    evaluate_cells(recipe, [], model, layout, listen)
    wanted = suites(recipe, layout)
    for cell in cells:
        current = model
        for stage, place in zip(recipe.stages, places, strict=True):
            listen(Event("train", cell.name, f"{cell.name:<12} stage {stage.name}"))
            current = _one(recipe, stage, cell, current, place, wanted, listen)
        _link(current, layout.model(cell.name))
    last = [Trained(cell, layout.model(cell.name), adapter=False, fresh=False) for cell in cells]
    evaluate_cells(recipe, last, model, layout, silent)


def write_stages(recipe: Recipe, reported: Sequence[Cell], layout: Layout) -> None:
    """Writes ``stages.json``: the matrix of every cell that went through all stages."""
    from evalkit.compare import combine_logs
    from evalkit.report.chosen import cells_asked, without_asked
    from evalkit.report.run import read_logs
    from evalkit.stages import stage_facts, stage_matrix

    names = [stage.name for stage in recipe.stages]
    places = [layout.stage(at, name) for at, name in enumerate(names, 1)]
    chosen = cells_asked(layout.root, [cell.name for cell in reported])
    base = combine_logs(without_asked(read_logs(layout.evaluation("base")), chosen))
    found = []
    for cell in reported:
        if layout.evaluation(cell.name).is_dir():
            logs = [combine_logs(without_asked(read_logs(place.evaluation(cell.name)), chosen)) for place in places]
            found.append(stage_facts(stage_matrix(base, logs, names, arm=cell.arm, seed=cell.seed)))
    write_json(layout.root / "stages.json", {"cells": found}, format=_FORMAT)


def _difference(recipe: Recipe, cell: Cell, model: Path, places: Sequence[Layout]) -> str | None:
    """The first stage of the cell that is not trained as the recipe says now, and why; None where all are."""
    current = model
    for stage, place in zip(recipe.stages, places, strict=True):
        key = cell_keys(replace(recipe, arms=stage.arms), [cell], current, place.data)[cell]
        folder = place.model(cell.name)
        if (why := difference(folder, key)) is not None:
            return f"stage {stage.name}: {why}"
        adapter = is_adapter(folder)
        merged = _merged(place, cell)
        if adapter and _noted(merged) != _facts(folder, current, merged):
            return f"stage {stage.name}: the merged weights are not those that were saved"
        current = merged if adapter else folder
    return None


def _link(model: Path, target: Path) -> None:
    """The cell's model: the same files under a second name where the disk allows it, else copies."""

    def linked(source: str, copy: str) -> str:
        try:
            os.link(source, copy)
        except OSError:
            shutil.copyfile(source, copy)
        return copy

    with atomic_directory(target) as folder:
        shutil.copytree(
            model, folder, dirs_exist_ok=True, copy_function=linked, ignore=shutil.ignore_patterns("checkpoints")
        )


def stage_parts(recipe: Recipe, layout: Layout) -> list[Layout]:
    """The rows of every stage in a folder of its own."""
    import pyarrow as pa
    import pyarrow.compute as pc

    source = tree_digest(layout.data, ("*.parquet",))
    splits = {name: rows for name in ("train", "validation", "test") if (rows := split_rows(layout, name)) is not None}
    places = []
    for at, stage in enumerate(recipe.stages, 1):
        own: dict[str, pa.Table] = {}
        for name, rows in splits.items():
            own[name] = rows.filter(pc.is_in(rows.column("source"), value_set=pa.array(stage.sources)))
        if not own["train"].num_rows:
            raise DatakitError(f"the stage '{stage.name}' has no row left to train on", where=layout.data)
        if stage.examples is not None:
            size, seed = stage.examples, recipe.seeds[0]
            own["train"] = nested_subsets(
                own["train"], [size], strata=own["train"].column("label").to_pylist(), seed=seed
            )[size]
        place = layout.stage(at, stage.name)
        facts = {"data": source, "sources": list(stage.sources), "examples": stage.examples, "seed": recipe.seeds[0]}
        make_part(layout, place, own, facts)
        places.append(place)
    return places


def _one(
    recipe: Recipe, stage: Stage, cell: Cell, model: Path, place: Layout, wanted: Sequence[Suite], listen: Listener
) -> Path:
    """Trains one stage from the weights of the one before and measures it; returns the whole model after it."""
    from evalkit.evaluate import Session

    staged = replace(recipe, arms=stage.arms)
    key = cell_keys(staged, [cell], model, place.data)[cell]
    drop_stale({cell: key}, place, listen)
    trained = train_cell(staged, cell, model, place, listen, key=key)
    whole = _whole(trained, model, place)
    session = Session(whole, chat=recipe.chat, offline=recipe.offline)
    evaluate_model(session, wanted, f"{cell.name} {stage.name}", None, recipe, place.evaluation(cell.name), listen)
    return whole


def _whole(trained: Trained, model: Path, place: Layout) -> Path:
    """The model's folder; an adapter is folded into the weights it was trained over."""
    if not trained.adapter:
        return trained.folder
    from train import merge_adapter

    output = _merged(place, trained.cell)
    with locked(output.with_name(f".{output.name}.lock")):
        if _noted(output) != _facts(trained.folder, model, output):
            merge_adapter(model, trained.folder, output)
            write_json(output / _NOTE, _facts(trained.folder, model, output), format=_FORMAT)
    return output


def _merged(place: Layout, cell: Cell) -> Path:
    return place.root / "merged" / cell.name


def _facts(adapter: Path, model: Path, merged: Path) -> dict[str, Any]:
    """All that makes a merged model what it is, and its weights."""
    return {
        "adapter": tree_digest(adapter, ADAPTER_FILES, deep=False),
        "base": tree_digest(model, ("*.safetensors",), deep=False),
        "weights": tree_digest(merged, ("*.safetensors",), deep=False),
    }


def _noted(folder: Path) -> Mapping[str, Any]:
    try:
        return {key: value for key, value in read_json(folder / _NOTE, format=_FORMAT).items() if key != "format"}
    except StorageError:
        return {}
