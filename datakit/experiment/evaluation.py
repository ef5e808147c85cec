"""Evaluating the base and every trained cell on the same tasks, under the same settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.errors import DatakitError
from datakit.experiment.arms import Trained
from datakit.experiment.events import Event, Listener
from datakit.experiment.layout import Layout
from datakit.experiment.recipe import Recipe
from datakit.experiment.stale import drop_suites

if TYPE_CHECKING:
    from evalkit.evaluate import Session
    from evalkit.log import EvalLog
    from evalkit.suite import Suite

__all__ = ["evaluate_cells", "general_suite", "named_tasks", "suites"]


def general_suite(recipe: Recipe) -> Suite | None:
    """The suite of tasks that must not be forgotten; None where there is none."""
    from evalkit.suite import load_suite

    wanted = recipe.evaluate.suite
    if wanted is None and recipe.model == "pocket":
        wanted = "pocket"
    if wanted is None:
        return None
    if isinstance(wanted, str):
        local = recipe.folder / wanted
        return load_suite(local if local.is_file() else wanted)
    return load_suite([str(recipe.folder / task) if (recipe.folder / task).is_file() else task for task in wanted])


def named_tasks(recipe: Recipe) -> Suite | None:
    """``evaluate.task`` where it names tasks of lm-eval; None where it is the built test split or nothing."""
    from evalkit.suite import Suite, load_suite

    wanted = recipe.evaluate.task
    if wanted is None or wanted == "test":
        return None
    tasks = load_suite([wanted] if isinstance(wanted, str) else list(wanted)).tasks
    return Suite("task", tuple(replace(task, kind="gain") for task in tasks), "The tasks of the recipe.")


def _task(recipe: Recipe, layout: Layout) -> Suite | None:
    from evalkit.owntask import data_task
    from evalkit.suite import Suite

    wanted = recipe.evaluate.task
    if wanted is None:
        return None
    if wanted != "test":
        return named_tasks(recipe)
    files = layout.split("test")
    if not files:
        raise DatakitError(
            "the built dataset has no test rows to measure the gain on",
            where=layout.data,
            hint="Add test to the split step, or set evaluate.task",
        )
    private = any(source.private for source in recipe.data.sources.values())
    task = data_task(files[0], chat=recipe.chat, metrics=recipe.evaluate.metrics, private=private)
    return Suite(name="task", tasks=(task,), description="The built test split.")


def suites(recipe: Recipe, layout: Layout) -> list[Suite]:
    """The user's own task and the general suite; either may be missing, not both.

    Raises:
        DatakitError: Neither is there.
    """
    general = general_suite(recipe)
    if general is not None and recipe.evaluate.margin is not None:
        margin = recipe.evaluate.margin
        general = replace(general, margin=margin, tasks=tuple(replace(task, margin=margin) for task in general.tasks))
    found = [suite for suite in (_task(recipe, layout), general) if suite is not None]
    if not found:
        raise DatakitError("nothing to evaluate", where=recipe.path, hint="Set evaluate.task or evaluate.suite")
    return found


def _evaluate(
    session: Session,
    wanted: Sequence[Suite],
    name: str,
    adapter: Path | None,
    recipe: Recipe,
    layout: Layout,
    listen: Listener,
) -> float:
    seconds = 0.0
    written: set[str] = set()
    for suite in wanted:

        def heard(label: str, task: str, done: int) -> None:
            listen(Event("evaluate", label, f"{label:<12} {task} {done:,} requests", final=False))

        limit = recipe.evaluate.limit if suite.name != "task" else None
        log: EvalLog = session.evaluate(suite, adapter=adapter, label=name, limit=limit, progress=heard)
        written.add(log.write(layout.evaluation(name)).stem)
        if log.header.recorded["stored"] < len(suite.tasks):
            seconds += float(log.header.recorded["seconds"])
    drop_suites(layout.evaluation(name), kept=written)
    minutes, rest = divmod(round(seconds), 60)
    took = "stored" if seconds == 0.0 else f"{minutes}:{rest:02d}"
    listen(Event("evaluate", name, f"{name:<12} {took}", 1.0))
    return seconds


def evaluate_cells(
    recipe: Recipe, trained: Sequence[Trained], model: Path, layout: Layout, listen: Listener
) -> Mapping[str, float]:
    """Writes the logs of the base and of every cell; what is stored under its key is not computed again.

    Adapters are swapped over the base that is in memory; a fully tuned model is loaded by itself, one at a time.

    Returns:
        Seconds per cell, 0 where everything was stored.
    """
    from evalkit.evaluate import Session

    wanted = suites(recipe, layout)
    took: dict[str, float] = {}
    base = Session(model, chat=recipe.chat, offline=recipe.offline, hub=recipe.hub)
    took["base"] = _evaluate(base, wanted, "base", None, recipe, layout, listen)
    for cell in (entry for entry in trained if entry.adapter):
        name = cell.cell.name
        took[name] = _evaluate(base, wanted, name, cell.folder, recipe, layout, listen)
    del base
    for cell in (entry for entry in trained if not entry.adapter):
        name = cell.cell.name
        session = Session(cell.folder, chat=recipe.chat, offline=recipe.offline, hub=recipe.hub)
        took[name] = _evaluate(session, wanted, name, None, recipe, layout, listen)
    return took
