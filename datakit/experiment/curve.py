"""``datakit curve RUN``: the suite and the task over the checkpoints that a run's arms kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from datakit.core.adapters import is_adapter
from datakit.core.errors import DatakitError
from datakit.core.hub import local_first
from datakit.core.require import own_package
from datakit.core.storage import locked, read_json, write_json, write_text
from datakit.experiment.arms import Cell, cells
from datakit.experiment.evaluation import evaluate_model, suites
from datakit.experiment.events import Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.opened import base_of, recipe_of, trained_cells
from datakit.experiment.recipe import Recipe

if TYPE_CHECKING:
    from evalkit.curve import Curve
    from evalkit.evaluate import Session
    from evalkit.log import EvalLog

__all__ = ["Curves", "checkpoint_curves", "curve_of", "state_log", "stated_alpha", "write_curves"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Curves:
    """What was written.

    Attributes:
        page: The HTML file.
        data: The JSON file.
        curves: One per cell.
    """

    page: Path
    data: Path
    curves: tuple[Curve, ...]


def checkpoint_curves(
    layout: Layout,
    *,
    arm: str | None = None,
    seed: int | None = None,
    budget: float = 0.01,
    output: Path | None = None,
    listen: Listener = silent,
) -> Curves:
    """Evaluates every kept state of a run's cells beside the base and writes curve.html and curve.json.

    What the evidence store has is not computed again.

    Args:
        layout: A finished run.
        arm: Only this arm; by default every arm that kept checkpoints.
        seed: Only this seed.
        budget: Largest mean loss on the general tasks under which the best state is chosen.
        output: Folder of the two files; the run's by default.
        listen: Hears what happens.

    Raises:
        DatakitError: No arm kept checkpoints; and whatever evaluation raises.
    """
    own_package("evalkit")
    from evalkit.evaluate import Session

    recipe = recipe_of(layout)
    kept = {cell: _kept(layout.model(cell.name)) for cell in trained_cells(recipe, layout, arm=arm, seed=seed)}
    kept = {cell: states for cell, states in kept.items() if len(states) > 1}
    if not kept:
        whose = "no arm of this run kept" if arm is None else f"the arm '{arm}' kept no"
        raise DatakitError(
            f"{whose} checkpoints",
            where=layout.root,
            hint="Write `checkpoints: 5` into the arm and run the recipe again",
        )
    with local_first(recipe.hub), locked(layout.root / ".curve.lock"):
        base = Session(base_of(recipe), chat=recipe.chat, offline=recipe.offline)
        wanted = suites(recipe, layout)
        evaluate_model(base, wanted, "base", None, recipe, layout.curve("base"), listen)
        curves = [_curve(recipe, cell, states, base, layout, budget, listen) for cell, states in kept.items()]
        command = f"datakit curve {layout.root.name} --budget {budget:g}" + ("" if arm is None else f" --arm {arm}")
        return write_curves(curves, output or layout.root, "curve", title=recipe.name, command=command)


def curve_of(
    recipe: Recipe,
    cell: Cell,
    unit: Literal["step", "examples", "percent"],
    logs: Mapping[int, tuple[EvalLog, EvalLog]],
    places: Sequence[Layout],
    *,
    alpha: float,
    budget: float | None = None,
) -> Curve:
    """The curve of an arm, over the items that the reports of these runs are over.

    Args:
        recipe: What was run.
        cell: Arm and seed.
        unit: What the points are numbered by.
        logs: Point to the logs of the base and of the model there; the same base everywhere where there is a budget.
        places: The runs that the models come from. Where the suite decided something in a training of one of their
            cells, the items that it may have looked at are left out of every point.
        alpha: 1 - confidence.
        budget: Largest mean loss on the general tasks under which the best point is chosen. It is chosen on items
            that may be chosen on, and those are whole.
    """
    from evalkit.choice import choose_under
    from evalkit.compare import compare
    from evalkit.curve import Curve, CurvePoint
    from evalkit.report.chosen import cells_asked, without_asked

    names = [one.name for one in cells(recipe)] + [cell.name]
    asked = sorted({name for place in places for name in cells_asked(place.root, names)})
    shown = {at: without_asked(pair, asked) for at, pair in logs.items()}
    points = tuple(CurvePoint(at, compare(*pair, alpha=alpha)) for at, pair in shown.items())
    first = next(iter(logs))
    notes = tuple(note for note in shown[first][0].header.notes if note not in logs[first][0].header.notes)
    choice = None
    if budget is not None and any(info.kind == "general" for info in logs[first][0].header.tasks.values()):
        after = {at: pair[1] for at, pair in logs.items()}
        choice = choose_under(logs[first][0], after, budget, alpha=alpha)
    return Curve(cell.arm, cell.seed, unit, points, choice, notes)


def stated_alpha(recipe: Recipe, layout: Layout) -> float:
    """1 - confidence, as the suite of the general tasks states it."""
    return next((suite.alpha for suite in suites(recipe, layout) if suite.name != "task"), 0.05)


def write_curves(curves: Sequence[Curve], folder: Path, stem: str, *, title: str, command: str) -> Curves:
    """Writes the page and its figures."""
    from evalkit.curve import curve_facts
    from evalkit.report.curve_page import curve_page

    page, data = folder / f"{stem}.html", folder / f"{stem}.json"
    write_json(data, {"title": title, "curves": [curve_facts(curve) for curve in curves]}, format=_FORMAT)
    write_text(page, curve_page(curves, title=title, reproduce=command))
    return Curves(page, data, tuple(curves))


def _kept(folder: Path) -> list[tuple[int, Path]]:
    """Step and folder of every kept state, the model itself last."""
    record = read_json(folder / "train.json")
    states = [(int(entry["step"]), folder / str(entry["folder"])) for entry in record.get("checkpoints") or ()]
    return [*(state for state in states if state[1].is_dir()), (int(record["steps"]), folder)]


def state_log(
    recipe: Recipe, name: str, folder: Path, base: Session, layout: Layout, into: Path, listen: Listener
) -> EvalLog:
    """Evaluates one state of a cell on the run's suites.

    Args:
        recipe: What was run.
        name: For reports.
        folder: The state's weights: a model of its own, an adapter over the base, or the base.
        base: The run's.
        layout: The run.
        into: Folder of the logs.
        listen: Hears what happens.

    Returns:
        The logs of all suites as one.
    """
    from evalkit.evaluate import Session
    from evalkit.report.run import combined_log

    adapter = folder if is_adapter(folder) else None
    whole = adapter is None and folder != base.folder
    session = Session(folder, chat=recipe.chat, offline=recipe.offline) if whole else base
    evaluate_model(session, suites(recipe, layout), name, adapter, recipe, into, listen)
    return combined_log(into)


def _curve(
    recipe: Recipe,
    cell: Cell,
    states: Sequence[tuple[int, Path]],
    base: Session,
    layout: Layout,
    budget: float,
    listen: Listener,
) -> Curve:
    from evalkit.report.run import combined_log

    place, before = layout.curve(cell.name), combined_log(layout.curve("base"))
    pairs = {
        step: (
            before,
            state_log(recipe, f"{cell.name} {step}", folder, base, layout, place / f"step-{step:06}", listen),
        )
        for step, folder in states
    }
    return curve_of(recipe, cell, "step", pairs, [layout], alpha=stated_alpha(recipe, layout), budget=budget)
