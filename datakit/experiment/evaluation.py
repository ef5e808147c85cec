"""Evaluating the base and every trained cell on the same tasks, under the same settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.errors import DatakitError
from datakit.experiment.arms import Trained
from datakit.experiment.events import Event, Listener
from datakit.experiment.judge import make_judge
from datakit.experiment.layout import Layout
from datakit.experiment.models import resolve_model
from datakit.experiment.recipe import Recipe
from datakit.experiment.stale import drop_suites
from datakit.experiment.suite_items import general_suite, wanted_suite

if TYPE_CHECKING:
    from evalkit.evaluate import Session
    from evalkit.log import EvalLog
    from evalkit.suite import Suite, SuiteTask

__all__ = [
    "beside",
    "evaluate_cells",
    "evaluate_model",
    "few_shot",
    "few_shot_name",
    "general_suite_of",
    "suites",
    "wanted_tasks",
]


def general_suite_of(recipe: Recipe) -> Suite | None:
    """The general tasks of a recipe, made if they have to be; None where it has none."""
    return general_suite(
        wanted_suite({"evaluate": {"suite": recipe.evaluate.suite}, "model": recipe.model}), recipe.folder
    )


def _task(recipe: Recipe, layout: Layout) -> Suite | None:
    from evalkit.suite import Suite, load_suite

    wanted = recipe.evaluate.task
    if wanted is None:
        return None
    if wanted != "test":
        tasks = load_suite([wanted] if isinstance(wanted, str) else list(wanted)).tasks
        return Suite("task", tuple(replace(task, kind="gain") for task in tasks), "The tasks of the recipe.")
    private = any(source.private for source in recipe.data.sources.values())
    if recipe.stages:
        own = tuple(
            _rows_task(recipe, place, stage.name, private=private)
            for stage, place in zip(recipe.stages, _places(recipe, layout), strict=True)
        )
        return Suite(name="task", tasks=own, description="The test rows of every stage.")
    task = _rows_task(recipe, layout, "task", private=private)
    return Suite(name="task", tasks=(task,), description="The built test split.")


def _places(recipe: Recipe, layout: Layout) -> list[Layout]:
    """Where the test rows of the user's tasks lie: in each stage's folder, or in the run's."""
    return [layout.stage(at, stage.name) for at, stage in enumerate(recipe.stages, 1)] or [layout]


def _rows_task(recipe: Recipe, layout: Layout, name: str, *, private: bool) -> SuiteTask:
    from evalkit.owntask import data_task

    files = layout.split("test")
    if not files:
        raise DatakitError(
            "there are no test rows to measure the gain on",
            where=layout.data,
            hint="Add test to the split step, or set evaluate.task",
        )
    spec = recipe.evaluate.judge
    judge = None if spec is None else make_judge(spec, recipe.folder, offline=recipe.offline)
    return data_task(
        files[0], name=name, chat=recipe.chat, metrics=recipe.evaluate.metrics, private=private, judge=judge
    )


def wanted_tasks(recipe: Recipe) -> list[SuiteTask]:
    """Every task of the recipe but the built test split, without making any.

    Raises:
        EvalError: No such task or suite.
    """
    from evalkit.suite import load_suite

    general, own = general_suite_of(recipe), recipe.evaluate.task
    found = list(general.tasks) if general is not None else []
    if own is not None and own != "test":
        found += load_suite([own] if isinstance(own, str) else list(own)).tasks
    return found


def few_shot(recipe: Recipe, layout: Layout) -> Suite | None:
    """The user's own task with ``evaluate.shots`` examples before each row; None where none are asked for."""
    shots, task = recipe.evaluate.shots, _task(recipe, layout) if recipe.evaluate.shots else None
    if task is None:
        return None
    if recipe.evaluate.task != "test":
        return replace(task, tasks=tuple(replace(one, num_fewshot=shots) for one in task.tasks))
    own = []
    for one, place in zip(task.tasks, _places(recipe, layout), strict=True):
        source = replace(one.source, examples=place.split("train")[0])  # type: ignore[type-var]
        own.append(replace(one, source=source, num_fewshot=shots))
    return replace(task, tasks=tuple(own))


def few_shot_name(recipe: Recipe) -> str:
    """How the base with examples is called in folders and reports."""
    return f"base-{recipe.evaluate.shots}-shot"


def beside(recipe: Recipe) -> list[str]:
    """Names of the models that stand beside the arms, in the order of the report."""
    return [*([few_shot_name(recipe)] if recipe.evaluate.shots else []), *recipe.evaluate.others()]


def suites(recipe: Recipe, layout: Layout) -> list[Suite]:
    """The user's own task and the general suite; either may be missing, not both.

    Raises:
        DatakitError: Neither is there.
    """
    general = general_suite_of(recipe)
    if general is not None and recipe.evaluate.margin is not None:
        margin = recipe.evaluate.margin
        general = replace(general, margin=margin, tasks=tuple(replace(task, margin=margin) for task in general.tasks))
    found = [suite for suite in (_task(recipe, layout), general) if suite is not None]
    if not found:
        raise DatakitError("nothing to evaluate", where=recipe.path, hint="Set evaluate.task or evaluate.suite")
    return found


def evaluate_model(
    session: Session,
    wanted: Sequence[Suite],
    name: str,
    adapter: Path | None,
    recipe: Recipe,
    into: Path,
    listen: Listener,
    *,
    finish: Callable[[EvalLog, Suite, int | None], EvalLog] | None = None,
) -> float:
    """Writes the logs of one model.

    Args:
        session: Its base, or itself.
        wanted: Suites.
        name: For reports.
        adapter: Laid over the session's model.
        recipe: Says how many items.
        into: Folder of the logs; those of other suites leave it.
        listen: Hears what happens.
        finish: Adds what only this moment can measure; told of log, suite and limit.

    Returns:
        Seconds, 0 where everything was stored.
    """
    seconds = 0.0
    written: set[str] = set()
    for suite in wanted:

        def heard(label: str, task: str, done: int) -> None:
            listen(Event("evaluate", label, f"{label:<12} {task} {done:,} requests", final=False))

        limit = recipe.evaluate.limit if suite.name != "task" else None
        log: EvalLog = session.evaluate(suite, adapter=adapter, label=name, limit=limit, progress=heard)
        if finish is not None:
            log = finish(log, suite, limit)
        written.add(log.write(into).stem)
        if log.header.recorded["stored"] < len(suite.tasks):
            seconds += float(log.header.recorded["seconds"])
    drop_suites(into, kept=written, listen=listen)
    minutes, rest = divmod(round(seconds), 60)
    took = "stored" if seconds == 0.0 else f"{minutes}:{rest:02d}"
    listen(Event("evaluate", name, f"{name:<12} {took}", 1.0))
    return seconds


def evaluate_cells(
    recipe: Recipe, trained: Sequence[Trained], model: Path, layout: Layout, listen: Listener
) -> Mapping[str, float]:
    """Writes the logs of the base and of every cell; what is stored under its key is not computed again.

    Adapters are swapped over the base that is in memory; a fully tuned model is loaded by itself, one at a time, and
    beside its base only for the KL between them, where both fit. Before anything is evaluated every cell is checked
    to differ from the base.

    Returns:
        Seconds per cell, 0 where everything was stored.
    """
    from evalkit.errors import EvalError
    from evalkit.evaluate import Session
    from evalkit.kl import measure_kl, with_kl
    from evalkit.nets import check_tuned, training_warnings, with_notes
    from evalkit.noise import noise_floor, with_noise

    wanted = suites(recipe, layout)
    took: dict[str, float] = {}
    others = {
        name: resolve_model(where, folder=recipe.folder, hub=recipe.hub, offline=recipe.offline)
        for name, where in recipe.evaluate.others().items()
    }
    base = Session(model, chat=recipe.chat, offline=recipe.offline)

    def of_base(log: EvalLog, suite: Suite, limit: int | None) -> EvalLog:
        if all(task.kind != "general" for task in suite.tasks):
            return log
        return with_noise(log, noise_floor(base, suite, log, limit=limit))

    for cell in trained:
        check_tuned(cell.folder, base.folder)
    took["base"] = evaluate_model(base, wanted, "base", None, recipe, layout.evaluation("base"), listen, finish=of_base)
    if prompted := few_shot(recipe, layout):
        name = few_shot_name(recipe)
        took[name] = evaluate_model(base, [prompted], name, None, recipe, layout.evaluation(name), listen)
    for cell in sorted(trained, key=lambda entry: not entry.adapter):
        name = cell.cell.name
        session = base if cell.adapter else Session(cell.folder, chat=recipe.chat, offline=recipe.offline)
        if not cell.adapter:
            base.unload()  # one model in memory while a full one is evaluated

        def of_tuned(
            log: EvalLog, suite: Suite, limit: int | None, cell: Trained = cell, session: Session = session
        ) -> EvalLog:
            notes = training_warnings(cell.folder, base.folder, chat=recipe.chat)
            other = {"adapter": cell.folder} if cell.adapter else {"tuned": session}
            try:
                log = with_kl(log, measure_kl(base, suite, limit=limit, **other))
            except EvalError as error:
                notes.append(f"KL to the base was not measured: {error}.")
            return with_notes(log, notes)

        adapter = cell.folder if cell.adapter else None
        took[name] = evaluate_model(
            session, wanted, name, adapter, recipe, layout.evaluation(name), listen, finish=of_tuned
        )
    base.unload()
    for name, folder in others.items():
        session = Session(folder, chat=recipe.chat, offline=recipe.offline)
        took[name] = evaluate_model(session, wanted, name, None, recipe, layout.evaluation(name), listen)
    return took
