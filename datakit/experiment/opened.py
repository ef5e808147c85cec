"""The recipe and the base of a run that is there already: resolved as they were when it ran."""

from __future__ import annotations

from pathlib import Path

from datakit.core.errors import DatakitError
from datakit.core.storage import read_json
from datakit.experiment.arms import Cell, cells
from datakit.experiment.layout import FORMAT, Layout
from datakit.experiment.models import resolve_model
from datakit.experiment.recipe import Recipe, read_recipe

__all__ = ["base_of", "recipe_of", "trained_cells"]


def recipe_of(layout: Layout) -> Recipe:
    """The run's own copy of its recipe; relative paths start where the recipe's file lay.

    Raises:
        DatakitError: Only the data part was built.
    """
    manifest = read_json(layout.manifest, format=FORMAT)
    if "recipe_folder" not in manifest:
        raise DatakitError("the run has data, but no model yet", where=layout.root, hint="Run its recipe to the end")
    return read_recipe(layout.recipe, folder=(layout.root / manifest["recipe_folder"]).resolve())


def base_of(recipe: Recipe) -> Path:
    """The folder of a recipe's base."""
    return resolve_model(recipe.model, folder=recipe.folder, hub=recipe.hub, offline=recipe.offline)


def trained_cells(recipe: Recipe, layout: Layout, *, arm: str | None = None, seed: int | None = None) -> list[Cell]:
    """The cells of a run that are trained.

    Raises:
        UsageError: No such arm.
        DatakitError: None of them is trained.
    """
    found = [cell for cell in cells(recipe, arm=arm, seed=seed) if (layout.model(cell.name) / "train.json").is_file()]
    if not found:
        raise DatakitError("the run has no trained model yet", where=layout.root, hint="Run its recipe to the end")
    return found
