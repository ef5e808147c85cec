"""The items of the recipe's suite, handed to builds that keep them out of the training rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.require import own_package
from datakit.recipe import DataRecipe

if TYPE_CHECKING:
    from evalkit.suite import Suite

__all__ = ["general_suite", "suite_items", "wanted_suite"]

SUITE = "suite"


def wanted_suite(recipe: Mapping[str, Any]) -> Any:
    """What a recipe file's mapping says under ``evaluate.suite``; pocket's own where the model is pocket."""
    evaluate = recipe.get("evaluate")
    wanted = evaluate.get("suite") if isinstance(evaluate, Mapping) else None
    return "pocket" if wanted is None and recipe.get("model") == "pocket" else wanted


def general_suite(wanted: str | Sequence[str] | None, folder: Path) -> Suite | None:
    """The suite that ``evaluate.suite`` names: registered, a file of the recipe's folder, or a list of tasks."""
    from evalkit.suite import load_suite

    if wanted is None:
        return None
    if isinstance(wanted, str):
        local = folder / wanted
        return load_suite(local if local.is_file() else wanted)
    return load_suite([str(folder / task) if (folder / task).is_file() else task for task in wanted])


@contextmanager
def suite_items(data: DataRecipe, wanted: str | Sequence[str] | None, folder: Path) -> Iterator[dict[str, Path]]:
    """Resources for a build: ``suite`` to the suite's items as Parquet, where a step asks for them.

    Args:
        data: Its steps say whether the suite is needed; without one nothing of lm-eval is imported.
        wanted: ``evaluate.suite``.
        folder: Of the recipe.
    """
    asked = any(
        SUITE in step.load()[1].sources  # type: ignore[attr-defined]
        for step in data.steps
        if step.name == "decontaminate"
    )
    if not asked or wanted is None:
        yield {}
        return
    own_package("evalkit")
    from evalkit import export_items

    suite = general_suite(wanted, folder)
    with tempfile.TemporaryDirectory(prefix="datakit-suite-") as temporary:
        yield {SUITE: export_items(suite, Path(temporary) / "items.parquet")} if suite is not None else {}
