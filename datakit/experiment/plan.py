"""What a recipe will do, measured on a few steps and items before anything runs: ``datakit check``."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.build import BuildResult, build
from datakit.core.errors import DatakitError
from datakit.core.hub import local_first
from datakit.core.require import own_package
from datakit.experiment.arms import cells, general_files
from datakit.experiment.evaluation import suites
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.models import resolve_model
from datakit.experiment.needs import Need, check_needs, needs
from datakit.experiment.outside import check_outside
from datakit.experiment.recipe import Recipe
from datakit.experiment.stages import stage_parts
from datakit.experiment.suite_items import suite_items, wanted_suite

if TYPE_CHECKING:
    from evalkit.evaluate import Session
    from evalkit.suite import Suite
    from train import Arm
    from train import Event as TrainEvent

__all__ = ["Plan", "check"]

_STEPS = 4
_ITEMS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen.

    Attributes:
        built: The build, done in a temporary folder: rows per step, reasons, splits.
        preview: Three training rows as pieces of text, each with whether it is trained.
        cells: Arms times seeds, grids counted by their points.
        train_seconds: All cells, extrapolated from a few measured steps.
        evaluate_seconds: Base and all cells, extrapolated from a few measured items.
        peak_memory: Bytes at most while measuring: on the GPU where there is one, else of this process.
        disk: Bytes the trained cells will take.
        unchanged_passes: Chance that an unchanged model passes the gate; None without a general suite.
        defaults: Key, value and reason of what the recipe leaves open.
        needs: What comes from the hub or the package index, and whether it was here before.
        estimates: Arm, bytes that its training takes at most beside what is loaded already, and bytes that are free.
        checks: What was checked before and in the measured steps: arm, name of the check, whether it passed, words.
        judged: Answers that will go to the judge at most, and where it is; None without one.
    """

    built: BuildResult
    preview: Sequence[Sequence[tuple[str, bool]]]
    cells: int
    train_seconds: float
    evaluate_seconds: float
    peak_memory: int
    disk: int
    unchanged_passes: float | None
    defaults: Sequence[tuple[str, str, str]]
    needs: Sequence[Need] = ()
    checks: Sequence[tuple[str, str, bool, str]] = ()
    estimates: Sequence[tuple[str, int, int]] = ()
    judged: tuple[int, str] | None = None


@dataclass(slots=True)
class _Measured:
    preview: Sequence[Sequence[tuple[str, bool]]] = ()
    seconds: float = 0.0
    memory: int = 0
    disk: int = 0
    checks: list[tuple[str, str, bool, str]] = field(default_factory=list)
    estimates: list[tuple[str, int, int]] = field(default_factory=list)


def _parts(recipe: Recipe, layout: Layout) -> list[tuple[Mapping[str, Arm], Layout]]:
    """What is trained on which rows: the arms on all of them, or each stage on its own."""
    if not recipe.stages:
        return [(recipe.arms, layout)]
    return list(zip((stage.arms for stage in recipe.stages), stage_parts(recipe, layout), strict=True))


def _measure_training(
    recipe: Recipe, model: Path, parts: Sequence[tuple[Mapping[str, Arm], Layout]], scratch: Path, listen: Listener
) -> _Measured:
    """Trains a few steps of every arm in our own loop and extrapolates; the weights are thrown away."""
    from datakit.core.storage import read_json
    from train import Checked, OutOfMemory, Preflight, can_merge, check_merged, estimate, fit
    from train.process import most_resident

    total = _Measured()
    tried = [(name, arm, place) for arms, place in parts for name, arm in arms.items()]
    for number, (name, arm, place) in enumerate(tried):
        listen(Event("check", name, f"{_STEPS} steps of {name}", number / len(tried), final=False))
        steps = 0

        def heard(event: TrainEvent, name: str = name) -> None:
            if isinstance(event, Preflight) and not total.preview:
                total.preview = event.rows
            elif isinstance(event, Checked):
                total.checks.append((name, event.check, event.passed, event.text))

        planned = arm.grid()
        short = _short(planned[0])
        inputs: dict[str, Any] = {"model": model, "data": place.data, "chat": recipe.chat, "offline": recipe.offline}
        found = estimate(short, **inputs, replay=general_files(arm, place))
        total.estimates.append((name, found.memory.peak, found.available))
        if not found.fits:
            raise OutOfMemory(
                f"arm '{name}' takes about {found.memory.peak / 2**30:.1f} GiB and {found.available / 2**30:.1f} "
                f"are free ({found.device}); its largest batch: {found.memory.shape.rows} rows of "
                f"{found.memory.shape.length} tokens",
                hint="Set " + ", or ".join(found.advice),
            )
        output = scratch / name
        result = fit(
            short,
            **inputs,
            output=output,
            replay=general_files(arm, place),
            progress=heard,
            chooses=_chosen_by_loss(name, arm),
        )
        record = read_json(output / "train.json")
        per_epoch = int(record["steps_per_epoch"])
        for point in planned:
            count = point.steps if isinstance(point.steps, int) else round((point.epochs or 1) * per_epoch)
            steps += count
        total.seconds += result.seconds / result.steps * steps * len(recipe.seeds)
        total.memory = max(total.memory, int(record.get("peak_memory") or 0))
        total.disk += int(record["bytes"]) * len(recipe.seeds)
        if can_merge(output):
            off = check_merged(model, output)
            text = f"folded into its base in float32 no logit differs by more than {off:.1g}"
            total.checks.append((name, "merge", True, text))
        shutil.rmtree(output)
    total.memory = total.memory or most_resident()
    return total


def _chosen_by_loss(name: str, arm: Arm) -> str | None:
    """What the run would choose by the validation loss, which has to be there then."""
    if arm.is_grid:
        return f"the grid of arm '{name}'"
    return f"arm '{name}', watch.keep best" if arm.watch is not None and arm.watch.keep == "best" else None


def _short(arm: Arm) -> Arm:
    """A few steps of an arm, watched by nobody, with a few texts where it replays its own."""
    replay = arm.replay and arm.replay.model_copy(update={"rows": _ITEMS})
    return arm.model_copy(
        update={
            "steps": _STEPS,
            "epochs": None,
            "watch": None,
            "replay": replay,
            "backend": "native",
            "save_every": None,
        }
    )


def _measure_evaluation(
    recipe: Recipe, wanted: Sequence[Suite], session: Session, models: int, listen: Listener
) -> float:
    """Seconds for the base and all cells, from a few items per task."""
    seconds = 0.0
    for suite in wanted:
        listen(Event("check", suite.name, f"a few items of suite {suite.name}", final=False))
        start = time.monotonic()
        session.evaluate(suite, label="base", limit=1, store=False)
        fixed = time.monotonic() - start
        start = time.monotonic()
        session.evaluate(suite, label="base", limit=1 + _ITEMS, store=False)
        per_item = max(time.monotonic() - start - fixed, 0.0) / (_ITEMS * len(suite.tasks))
        items = sum(min(count, recipe.evaluate.limit or count) for count in session.sizes(suite).values())
        seconds += fixed + per_item * items
    return seconds * models


def _unchanged(session: Session, wanted: Sequence[Suite], limit: int | None) -> float | None:
    from evalkit.statistics import chance_unchanged_passes

    for suite in wanted:
        general = [task for task in suite.tasks if task.kind == "general"]
        if general:
            sizes = session.sizes(suite)
            counts = [min(sizes[task.name], limit or sizes[task.name]) for task in general]
            return chance_unchanged_passes(counts, margin=[task.margin for task in general])
    return None


def _defaults(recipe: Recipe) -> list[tuple[str, str, str]]:
    from train.adapters import adapter_named

    rows = []
    if recipe.evaluate.suite is None:
        here = recipe.model == "pocket"
        reason = "the pocket model's own suite" if here else "forgetting is not measured without one"
        rows.append(("evaluate.suite", "pocket" if here else "none", reason))
    if recipe.evaluate.margin is None and recipe.evaluate.suite is not None:
        rows.append(("evaluate.margin", "the suite's", "a suite states the loss it calls tolerable, and why"))
    if len(recipe.seeds) == 1:
        rows.append(("seeds", str(list(recipe.seeds)), "one seed speaks of these checkpoints, three of a method"))
    for name, arm in recipe.arms.items():
        default = adapter_named(arm.adapter).defaults.get("learning_rate")
        if default is not None and arm.learning_rate == default.value:
            rows.append((f"arms.{name}.learning_rate", f"{default.value:g}", f"of {arm.adapter}: {default.reason}"))
    return rows


def _judged(recipe: Recipe, places: Sequence[Layout], models: int) -> tuple[int, str] | None:
    """The test rows' written answers, of every model in the report."""
    from datakit.core.storage import read_table

    judge = recipe.evaluate.judge
    if judge is None:
        return None
    choices = [
        one for place in places for path in place.split("test") for one in read_table(path)["choices"].to_pylist()
    ]
    beside = len(recipe.evaluate.others()) + bool(recipe.evaluate.shots)
    return sum(not one for one in choices) * (models + beside), f"{judge.model} at {judge.url}"


def check(recipe: Recipe, *, listen: Listener = silent) -> Plan:
    """Builds the data in a temporary folder, trains a few steps of each arm, evaluates a few items, and tells.

    Args:
        recipe: What is to be run.
        listen: Hears what is being tried.

    Raises:
        DatakitError: Whatever would go wrong in the run and shows itself this early.
    """
    own_package("train")
    own_package("evalkit")
    check_needs(recipe)
    check_outside(recipe)
    with local_first(recipe.hub):
        return _check(recipe, listen)


def _check(recipe: Recipe, listen: Listener) -> Plan:
    from evalkit.evaluate import Session

    wants = needs(recipe)
    model = resolve_model(recipe.model, folder=recipe.folder, hub=recipe.hub, offline=recipe.offline)
    with tempfile.TemporaryDirectory(prefix="datakit-check-") as name:
        layout = Layout(Path(name) / "run")
        suite = wanted_suite({"evaluate": {"suite": recipe.evaluate.suite}, "model": recipe.model})
        with suite_items(recipe.data, suite, recipe.folder) as items:
            built = build(
                recipe.data,
                output=layout.root,
                seed=recipe.seeds[0],
                folder=recipe.folder,
                hub=recipe.hub,
                resources=items,
            )
        if not built.splits.get("train"):
            raise DatakitError("no row is left to train on", where=recipe.path)
        parts = _parts(recipe, layout)
        wanted = suites(recipe, layout)
        measured = _measure_training(recipe, model, parts, Path(name), listen)
        count = sum(len(recipe.arms[cell.arm].grid()) for cell in cells(recipe))
        session = Session(model, chat=recipe.chat, offline=recipe.offline)
        models = 1 + len(cells(recipe)) * max(len(recipe.stages), 1)
        seconds = _measure_evaluation(recipe, wanted, session, models, listen)
        return Plan(
            built=built,
            preview=measured.preview,
            cells=count,
            train_seconds=measured.seconds,
            evaluate_seconds=seconds,
            peak_memory=measured.memory,
            disk=measured.disk,
            unchanged_passes=_unchanged(session, wanted, recipe.evaluate.limit),
            defaults=_defaults(recipe),
            needs=wants,
            checks=measured.checks,
            estimates=measured.estimates,
            judged=_judged(recipe, [place for _, place in parts], models),
        )
