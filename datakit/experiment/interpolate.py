"""``datakit interpolate RUN ARM``: models between base and arm, and the best one under a budget of forgetting."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.adapters import is_adapter
from datakit.core.errors import DatakitError, UsageError
from datakit.core.hub import local_first
from datakit.core.require import own_package
from datakit.core.storage import locked
from datakit.experiment.arms import Cell
from datakit.experiment.curve import Curves, curve_of, state_log, stated_alpha, write_curves
from datakit.experiment.evaluation import evaluate_model, suites
from datakit.experiment.events import Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.opened import base_of, recipe_of, trained_cells
from datakit.experiment.recipe import Recipe

if TYPE_CHECKING:
    from evalkit.curve import Curve
    from evalkit.evaluate import Session
    from evalkit.log import EvalLog

__all__ = ["Interpolated", "interpolate"]


@dataclass(frozen=True, slots=True)
class Interpolated:
    """What was found and written.

    Attributes:
        curves: One per seed, with their page; points are numbered by per cent of the way to the tuned model.
        model: Folder with the chosen weights; None where none was asked for.
    """

    curves: Curves
    model: Path | None


def interpolate(
    layout: Layout,
    arm: str,
    alphas: Sequence[float],
    *,
    seed: int | None = None,
    budget: float = 0.01,
    output: Path | None = None,
    listen: Listener = silent,
) -> Interpolated:
    """Evaluates ``base + alpha (tuned - base)`` for every alpha and chooses one: interpolate.html and .json.

    On three tenths of the items the one with the largest gain is taken whose suite mean fell by at most the budget; it
    is reported on the others. What the evidence store has is not computed again.

    Args:
        layout: A finished run.
        arm: One of its arms.
        alphas: From 0 (the base) to 1 (the tuned model), rising, each a whole number of per cent.
        seed: Only this seed; needed for an output where the run has several.
        budget: Largest mean loss on the general tasks, in points of the score.
        output: Folder for the chosen weights: a model, or an adapter over the base where the arm is low-rank.
        listen: Hears what happens.

    Raises:
        UsageError: No such arm, an alpha that is none, or several seeds for one output.
        DatakitError: No alpha keeps to the budget, and weights were asked for; and whatever evaluation raises.
    """
    for package in ("train", "evalkit"):
        own_package(package)
    from evalkit.evaluate import Session
    from train import TrainError, can_merge

    per_cent = _per_cent(alphas)
    recipe = recipe_of(layout)
    if recipe.stages:
        raise DatakitError("a run with stages has no one base to interpolate from", where=layout.root)
    cells = trained_cells(recipe, layout, arm=arm, seed=seed)
    if output is not None and len(cells) > 1:
        raise UsageError("the arm has several seeds; one model can be written", hint="Name one with --seed")
    if any(is_adapter(folder) and not can_merge(folder) for folder in (layout.model(cell.name) for cell in cells)):
        raise DatakitError(
            f"the arm '{arm}' works on hidden states or virtual tokens, which have nothing between them and the base",
            hint=f"Use it as it is, or see its course with: datakit curve {layout.root} --arm {arm}",
        )
    with local_first(recipe.hub), locked(layout.root / ".interpolate.lock"):
        base = Session(base_of(recipe), chat=recipe.chat, offline=recipe.offline)
        try:
            evaluate_model(base, suites(recipe, layout), "base", None, recipe, layout.interpolation("base"), listen)
            curves = [_curve(recipe, cell, per_cent, base, layout, budget, listen) for cell in cells]
            said = ",".join(f"{value / 100:g}" for value in per_cent)
            command = f"datakit interpolate {layout.root.name} {arm} --alphas {said} --budget {budget:g}"
            written = write_curves(curves, layout.root, "interpolate", title=recipe.name, command=command)
            model = None if output is None else _write(curves[0], cells[0], base.folder, layout, output)
        except TrainError as error:
            raise DatakitError(
                f"the arm '{arm}' cannot be interpolated: {error.message}", where=error.where, hint=error.hint
            ) from error
        finally:
            shutil.rmtree(_scratch(layout), ignore_errors=True)
    return Interpolated(written, model)


def _per_cent(alphas: Sequence[float]) -> list[int]:
    found = [round(100 * alpha) for alpha in alphas]
    if not found or any(abs(100 * a - p) > 1e-6 or not 0 <= p <= 100 for a, p in zip(alphas, found, strict=True)):
        raise UsageError(f"alphas go from 0 to 1 in hundredths, not {', '.join(f'{alpha:g}' for alpha in alphas)}")
    if found != sorted(set(found)):
        raise UsageError("alphas have to rise")
    return found


def _scratch(layout: Layout) -> Path:
    return layout.root / ".interpolated"


def _curve(
    recipe: Recipe,
    cell: Cell,
    per_cent: Sequence[int],
    base: Session,
    layout: Layout,
    budget: float,
    listen: Listener,
) -> Curve:
    from evalkit.report.run import combined_log

    before = combined_log(layout.interpolation("base"))
    pairs = {value: (before, _log(recipe, cell, value, base, layout, listen)) for value in per_cent}
    return curve_of(recipe, cell, "percent", pairs, [layout], alpha=stated_alpha(recipe, layout), budget=budget)


def _log(recipe: Recipe, cell: Cell, value: int, base: Session, layout: Layout, listen: Listener) -> EvalLog:
    from train import interpolate_weights

    folder = layout.model(cell.name) if value else base.folder
    if 0 < value < 100:
        folder = interpolate_weights(base.folder, folder, value / 100, _scratch(layout) / f"{cell.name}-{value}")
    into = layout.interpolation(cell.name) / f"{value:03}"
    return state_log(recipe, f"{cell.name} {value} %", folder, base, layout, into, listen)


def _write(curve: Curve, cell: Cell, base: Path, layout: Layout, output: Path) -> Path:
    from train import interpolate_weights

    if curve.choice is None or curve.choice.at is None:
        raise DatakitError(
            "no alpha keeps to the budget, so no model is written",
            hint="Allow more with --budget, or add smaller alphas",
        )
    return interpolate_weights(base, layout.model(cell.name), curve.choice.at / 100, output)
