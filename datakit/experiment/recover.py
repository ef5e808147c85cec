"""``datakit recover``: a short training on half of a regressed benchmark, for the tuned model and its base alike."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.adapters import is_adapter
from datakit.core.errors import DatakitError, UsageError
from datakit.core.example import Example, Message, to_table
from datakit.core.hub import local_first
from datakit.core.registry import suggest
from datakit.core.require import own_package
from datakit.core.storage import read_json, read_table, write_json, write_table
from datakit.experiment.arms import Cell
from datakit.experiment.evaluation import suites
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.opened import base_of, recipe_of, trained_cells
from datakit.experiment.recipe import Recipe

if TYPE_CHECKING:
    from evalkit.log import EvalLog
    from evalkit.recovery import Recovery
    from evalkit.suite import Suite, SuiteTask
    from train import Arm

__all__ = ["Recovered", "recover"]

_FORMAT = 1
_FEWEST = 2  # items on a side; with few of them the answer is `unsure`


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was written.

    Attributes:
        path: recover.json.
        cell: Whose forgetting it is about.
        steps: Of the short training.
        tasks: One per task.
    """

    path: Path
    cell: Cell
    steps: int
    tasks: tuple[Recovery, ...]


@dataclass(frozen=True, slots=True)
class _Model:
    """A model as it is evaluated: a folder, and an adapter over it where it has one."""

    name: str
    folder: Path
    adapter: Path | None = None


def recover(
    layout: Layout,
    *,
    arm: str,
    tasks: Sequence[str] = (),
    seed: int | None = None,
    steps: int = 20,
    learning_rate: float | None = None,
    output: Path | None = None,
    listen: Listener = silent,
) -> Recovered:
    """Says of every regressed task whether it is lost or only hidden, and writes recover.json.

    The base and the tuned model get the same training: the arm's own settings at a constant rate, ``steps`` steps on
    half of the task's items. Both are measured on the other half. The trained weights are thrown away.

    Args:
        layout: A finished run.
        arm: Whose forgetting.
        tasks: General tasks; those on which the arm regressed by default.
        seed: Of the arm; its first by default.
        steps: Optimizer steps of the short training.
        learning_rate: Of the short training; the arm's own by default.
        output: The file; ``recover.json`` in the run by default.
        listen: Hears what happens.

    Raises:
        UsageError: No such arm or task.
        DatakitError: Nothing regressed, or a task that cannot be trained on.
    """
    for package in ("train", "evalkit"):
        own_package(package)
    recipe = recipe_of(layout)
    cell = trained_cells(recipe, layout, arm=arm, seed=seed)[0]
    general = next((suite for suite in suites(recipe, layout) if suite.name != "task"), None)
    if general is None:
        raise DatakitError("the recipe has no general suite to recover", where=layout.recipe)
    chosen = _chosen(general, tasks, cell, layout)
    short = _short(layout.model(cell.name), steps, learning_rate)
    found = []
    with local_first(recipe.hub), tempfile.TemporaryDirectory(prefix="datakit-recover-") as name:
        base = _Model("base", base_of(recipe))
        tuned = _tuned(cell, base, layout)
        for task in chosen:
            suite = replace(general, tasks=(task,))
            scratch = Path(name) / task.name
            found.append(_one(recipe, suite, cell, (base, tuned), short, scratch, listen))
    path = output or layout.root / "recover.json"
    write_json(path, _facts(cell, short, found), format=_FORMAT)
    return Recovered(path, cell, steps, tuple(found))


def _facts(cell: Cell, short: Arm, found: Sequence[Recovery]) -> dict[str, Any]:
    from evalkit.recovery import recovery_facts
    from evalkit.report.recovery_words import recovery_sentence

    tasks = [{**recovery_facts(one), "sentence": recovery_sentence(one)} for one in found]
    trained = {"steps": short.steps, "learning_rate": short.learning_rate}
    return {"arm": cell.arm, "seed": cell.seed, **trained, "tasks": tasks}


def _chosen(general: Suite, names: Sequence[str], cell: Cell, layout: Layout) -> list[SuiteTask]:
    """The tasks that are asked for, or those that regressed."""
    by_name = {task.name: task for task in general.tasks if task.kind == "general"}
    if wrong := [name for name in names if name not in by_name]:
        raise UsageError(f"no general task '{wrong[0]}' in this run", hint=suggest(wrong[0], list(by_name)))
    if names:
        return [by_name[name] for name in names]
    from evalkit.report import from_run

    arms = [one for one in from_run(layout.root, arm=cell.arm).arms if one.seed == cell.seed]
    rows = [row for one in arms for row in one.comparison.general if row.verdict == "regressed"]
    if not rows:
        raise DatakitError(
            f"nothing regressed with '{cell.name}': there is nothing to recover",
            where=layout.root,
            hint=f"Name a task with --task; there are: {', '.join(by_name)}",
        )
    return [by_name[row.task] for row in rows if row.task in by_name]


def _tuned(cell: Cell, base: _Model, layout: Layout) -> _Model:
    folder = layout.model(cell.name)
    if is_adapter(folder):
        return _Model(cell.name, base.folder, folder)
    return _Model(cell.name, folder)


def _one(
    recipe: Recipe,
    suite: Suite,
    cell: Cell,
    models: tuple[_Model, _Model],
    short: Arm,
    scratch: Path,
    listen: Listener,
) -> Recovery:
    from evalkit.recovery import recovery, training_half

    task = suite.tasks[0].name
    before = [_evaluate(recipe, suite, model) for model in models]
    trained, measured = training_half(before[0], task, seed=cell.seed)
    if min(len(trained), len(measured)) < _FEWEST:
        raise DatakitError(
            f"'{task}' has {len(trained) + len(measured)} items; both halves need some",
            hint=f"Evaluate {2 * _FEWEST} items or more",
        )
    data = _training_rows(recipe, suite, before[0], trained, scratch)
    after = []
    for model in models:
        listen(Event("train", task, f"{task}: {model.name}, {short.steps} steps on {len(trained):,} items"))
        after.append(_evaluate(recipe, suite, _trained(recipe, short, model, data, cell, scratch)))
    found = recovery(
        task,
        base=before[0],
        tuned=before[1],
        base_after=after[0],
        tuned_after=after[1],
        measured=measured,
        trained=len(trained),
        alpha=suite.alpha,
    )
    listen(Event("evaluate", task, f"{task}: {found.status}"))
    return found


def _short(folder: Path, steps: int, learning_rate: float | None) -> Arm:
    """The arm as it was trained, but short, at a constant rate and without replay."""
    from train import Arm

    written = read_json(folder / "train.json")["arm"]
    left = ("backend", "epochs", "replay", "checkpoints", "save_every")
    kept = {key: value for key, value in written.items() if key not in left}
    own = {} if learning_rate is None else {"learning_rate": learning_rate}
    return Arm.model_validate({**kept, **own, "steps": steps, "schedule": "constant", "warmup": 0.0})


def _trained(recipe: Recipe, short: Arm, model: _Model, data: Path, cell: Cell, scratch: Path) -> _Model:
    from train import fit, merge_adapter

    folder = model.folder
    if model.adapter is not None:
        folder = merge_adapter(model.folder, model.adapter, scratch / f"{model.name}-merged")
    output = scratch / f"{model.name}-after"
    fit(short, model=folder, data=data, output=output, chat=recipe.chat, seed=cell.seed, offline=recipe.offline)
    if is_adapter(output):
        return _Model(model.name, folder, output)
    return _Model(model.name, output)


def _evaluate(recipe: Recipe, suite: Suite, model: _Model) -> EvalLog:
    from evalkit.evaluate import Session

    session = Session(model.folder, chat=recipe.chat, offline=recipe.offline)
    return session.evaluate(suite, adapter=model.adapter, label=model.name, limit=recipe.evaluate.limit)


def _training_rows(recipe: Recipe, suite: Suite, log: EvalLog, items: set[str], scratch: Path) -> Path:
    """The items as conversations: what is asked, and the right answer."""
    from evalkit.items import export_items

    task = suite.tasks[0].name
    choices = dict(zip(*(log.primary().column(name).to_pylist() for name in ("item_id", "n_choices")), strict=True))
    exported = read_table(export_items(suite, scratch / "items.parquet", chat=recipe.chat)).to_pylist()
    rows = []
    for row in exported:
        if row["item_id"] not in items:
            continue
        options = row["answer"].split("\n") if choices[row["item_id"]] else [row["answer"]]
        if (choices[row["item_id"]] or 0) > 1 and len(options) < 2:
            raise DatakitError(
                f"the items of '{task}' cannot be trained on: their options are prompts, not answers",
                hint="Name other tasks with --task",
            )
        turns = (Message("user", row["prompt"]), Message("assistant", options[0]))
        key, origin = row["item_id"], f"{task}:{row['item_id']}"
        rows.append(Example(id=key, group=key, source=task, origin=origin, messages=turns))
    path = scratch / "half.parquet"
    write_table(path, to_table(rows))
    return path
