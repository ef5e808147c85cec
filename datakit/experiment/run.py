"""The whole loop of a recipe: build, train every cell, evaluate, report. Killed and started again, it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.build import BuildResult, build
from datakit.core.errors import DatakitError
from datakit.core.hub import local_first
from datakit.core.require import own_package
from datakit.core.storage import locked, read_json, write_json, write_text
from datakit.experiment.arms import Cell, cell_keys, cells, train_cell
from datakit.experiment.evaluation import beside, evaluate_cells
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.judge import check_written
from datakit.experiment.layout import FORMAT, Layout
from datakit.experiment.models import model_digest, resolve_model
from datakit.experiment.needs import check_needs
from datakit.experiment.recipe import Recipe, read_recipe
from datakit.experiment.stages import drop_stages, run_stages, write_stages
from datakit.experiment.stale import drop_stale, drop_unlike
from datakit.experiment.suite_items import suite_items, wanted_suite
from datakit.experiment.summary import build_lines
from datakit.folder import claim
from datakit.ledger import StepCount

if TYPE_CHECKING:
    from evalkit.report import Report

__all__ = ["Run", "build_data", "claim_run", "record", "run", "write"]

_WRITES = ("models", "evals", "examples", "stages", "report.html", "report.md", "report.json")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        folder: Its folder, with report.html, report.md and report.json.
        report: What they say.
    """

    folder: Path
    report: Report


def build_data(recipe: Recipe, layout: Layout, listen: Listener) -> BuildResult:
    """Builds the data of a run; one process at a time.

    Raises:
        DatakitError: No row is left to train on.
    """

    def heard(count: StepCount) -> None:
        listen(Event("build", count.name, f"{count.name} {count.rows_out:,} rows", final=False))

    wanted = wanted_suite({"evaluate": {"suite": recipe.evaluate.suite}, "model": recipe.model})
    # cells may be trained by several processes
    with locked(layout.root / ".lock"), suite_items(recipe.data, wanted, recipe.folder) as resources:
        result = build(
            recipe.data,
            output=layout.root,
            seed=recipe.seeds[0],
            folder=recipe.folder,
            name=recipe.name,
            resources=resources,
            offline=recipe.offline,
            hub=recipe.hub,
            progress=heard,
        )
    for line in build_lines(result):
        listen(Event("build", "data", line))
    if not result.splits.get("train"):
        raise DatakitError("no row is left to train on", where=layout.data, hint="See why with: datakit why RUN ID")
    if recipe.evaluate.judge is not None:
        check_written(layout.split("test"))
    return result


def claim_run(recipe: Recipe, layout: Layout) -> None:
    """Refuses a folder in which something of someone else's would be replaced."""
    claim(layout.root, recipe=recipe.path.read_text(encoding="utf-8"), writes=_WRITES)


def record(recipe: Recipe, layout: Layout, model: Path, reported: Iterable[Cell]) -> None:
    """Writes recipe and manifest; a manifest of a newer version is refused before anything is overwritten."""
    write_text(layout.recipe, recipe.path.read_text(encoding="utf-8"))
    write_json(
        layout.manifest,
        {
            **{key: value for key, value in read_json(layout.manifest, format=FORMAT).items() if key != "format"},
            "name": recipe.name,
            "reproduce": [f"datakit run {recipe.path.name}"],
            "recipe_folder": os.path.relpath(recipe.folder, layout.root),
            "model": recipe.model,
            "model_digest": model_digest(model),
            "seeds": list(recipe.seeds),
            "arms": list(recipe.arms),
            "cells": [cell.name for cell in reported],
            "beside": beside(recipe),
            "chat": recipe.chat.model_dump(),
            "datakit": version("datakit"),
        },
        format=FORMAT,
    )


def run(
    recipe: Recipe | Path | str,
    *,
    output: Path | None = None,
    arm: str | None = None,
    seed: int | None = None,
    listen: Listener = silent,
) -> Run:
    """Builds, trains, evaluates and reports.

    What is done already (the same inputs, checked by hash) is not done again.

    Args:
        recipe: A recipe or the path of one.
        output: Folder of the run; ``runs/<name>`` by default.
        arm: Only this arm; the report covers every cell that is there.
        seed: Only this seed.
        listen: Hears what happens.

    Raises:
        DatakitError: And its children; every message says where and what to do.
    """
    for package in ("train", "evalkit"):
        own_package(package)
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(Path(recipe))
    with local_first(recipe.hub):
        return _run(recipe, Layout(output or Path("runs") / recipe.name), arm, seed, listen)


def _run(recipe: Recipe, layout: Layout, arm: str | None, seed: int | None, listen: Listener) -> Run:
    wanted = cells(recipe, arm=arm, seed=seed)
    check_needs(recipe)
    model = resolve_model(recipe.model, folder=recipe.folder, hub=recipe.hub, offline=recipe.offline)
    claim_run(recipe, layout)
    seeds, arms = len({cell.seed for cell in wanted}), len({cell.arm for cell in wanted})
    counted = f"{arms} {'arm' if arms == 1 else 'arms'}, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    listen(Event("plan", recipe.name, f"{counted} on {recipe.model} · what it takes: datakit check {recipe.path.name}"))
    build_data(recipe, layout, listen)
    reported = list(dict.fromkeys([*cells(recipe), *wanted]))
    if recipe.stages:
        drop_stages(recipe, reported, model, layout, listen)
        record(recipe, layout, model, reported)
        run_stages(recipe, wanted, model, layout, listen)
    else:
        keys = cell_keys(recipe, reported, model, layout.data)
        drop_stale(keys, layout, listen)
        record(recipe, layout, model, reported)
        trained = [
            train_cell(recipe, cell, model, layout, listen, key=keys[cell], shows_rows=number == 0)
            for number, cell in enumerate(wanted)
        ]
        evaluate_cells(recipe, trained, model, layout, listen)
    drop_unlike([cell for cell in reported if cell not in wanted], layout, listen)
    if recipe.stages:
        write_stages(recipe, reported, layout)
    return Run(layout.root, write(layout, listen))


def write(layout: Layout, listen: Listener = silent) -> Report:
    """Writes the three reports of a run from its logs."""
    own_package("evalkit")
    from evalkit.report import from_run, write_report

    report = from_run(layout.root)
    write_report(report, layout.root)
    listen(Event("report", "report", str(layout.root / "report.html"), final=False))
    return report
