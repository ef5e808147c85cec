"""``datakit curve RECIPE --examples``: the arms trained on nested subsets; killed and started again it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.errors import StepError, UsageError
from datakit.core.hashing import tree_digest
from datakit.core.hub import local_first
from datakit.core.require import own_package
from datakit.experiment.arms import cell_keys, cells, train_cell
from datakit.experiment.curve import Curves, curve_of, stated_alpha, write_curves
from datakit.experiment.evaluation import evaluate_cells
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.needs import check_needs
from datakit.experiment.opened import base_of
from datakit.experiment.part import make_part, split_rows
from datakit.experiment.recipe import Recipe, read_recipe
from datakit.experiment.run import build_data, claim_run, record
from datakit.experiment.stale import drop_stale
from datakit.mixing.related import column_values
from datakit.mixing.subset import nested_subsets

if TYPE_CHECKING:
    import pyarrow as pa

    from datakit.experiment.arms import Cell
    from evalkit.curve import Curve

__all__ = ["example_curves"]


def example_curves(
    recipe: Recipe | Path | str,
    sizes: Sequence[int],
    *,
    output: Path | None = None,
    arm: str | None = None,
    seed: int | None = None,
    listen: Listener = silent,
) -> Curves:
    """Trains and evaluates every cell on nested subsets of the training split, and writes examples.html and .json.

    Every size has a folder ``examples/<size>`` that is laid out like a run; validation and test rows are the same in
    all of them. What is done already (the same inputs, checked by hash) is not done again.

    Args:
        recipe: A recipe or the path of one.
        sizes: Numbers of examples (source rows, with all they were rendered to), rising.
        output: Folder of the run; ``runs/<name>`` by default.
        arm: Only this arm.
        seed: Only this seed.
        listen: Hears what happens.

    Raises:
        UsageError: The recipe has stages, or the sizes do not rise.
        StepError: More examples are asked for than there are.
        DatakitError: And its children.
    """
    for package in ("train", "evalkit"):
        own_package(package)
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(Path(recipe))
    if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1:
        raise UsageError(f"numbers of examples rise and begin at 1 or more, not {', '.join(map(str, sizes))}")
    if recipe.stages:
        raise UsageError(
            f"{recipe.path.name} has stages, and examples are counted for one task",
            hint="Leave stages out, or write `examples` into the stages",
        )
    with local_first(recipe.hub):
        return _curves(recipe, sizes, Layout(output or Path("runs") / recipe.name), arm, seed, listen)


def _curves(
    recipe: Recipe, sizes: Sequence[int], layout: Layout, arm: str | None, seed: int | None, listen: Listener
) -> Curves:
    wanted = cells(recipe, arm=arm, seed=seed)
    check_needs(recipe)
    model = base_of(recipe)
    claim_run(recipe, layout)
    build_data(recipe, layout, listen)
    own = cell_keys(recipe, cells(recipe), model, layout.data)
    drop_stale(own, layout, listen)  # the run's own models, as `run` does
    record(recipe, layout, model, cells(recipe))
    places = _subsets(recipe, layout, sizes)
    for size, place in places.items():
        keys = cell_keys(recipe, wanted, model, place.data)
        drop_stale(keys, place, listen)
        listen(Event("train", str(size), f"{size:,} examples"))
        trained = [train_cell(recipe, cell, model, place, listen, key=keys[cell]) for cell in wanted]
        evaluate_cells(recipe, trained, model, place, listen)
    written = ",".join(map(str, sizes))
    command = f"datakit curve {recipe.path.name} --examples {written}" + ("" if arm is None else f" --arm {arm}")
    return write_curves(
        [_curve(recipe, cell, places) for cell in wanted], layout.root, "examples", title=recipe.name, command=command
    )


def _subsets(recipe: Recipe, layout: Layout, sizes: Sequence[int]) -> dict[int, Layout]:
    """A folder per size, its data made where it is not there or no longer what the build gives."""
    seed, column = recipe.seeds[0], _stratify(recipe)
    train = split_rows(layout, "train")
    rest = {name: rows for name in ("validation", "test") if (rows := split_rows(layout, name)) is not None}
    tables = {} if train is None else nested_subsets(train, sizes, strata=_strata(recipe, train), seed=seed)
    source = tree_digest(layout.data, ("*.parquet",))
    places = {}
    for size, table in tables.items():
        place = Layout(layout.root / "examples" / str(size))
        facts = {"data": source, "examples": size, "seed": seed, "stratify": column}
        make_part(layout, place, {"train": table, **rest}, facts)
        places[size] = place
    return places


def _stratify(recipe: Recipe) -> str:
    """The column the split is stratified by; the label where it is not."""
    params = next((step.params for step in recipe.data.steps if step.name == "split"), {})
    return str(params.get("stratify") or "label")


def _strata(recipe: Recipe, table: pa.Table) -> list[Any] | None:
    """The column's value of every row; None where no row has it."""
    mapped = {ours: theirs for source in recipe.data.sources.values() for ours, theirs in source.columns.items()}
    try:
        return column_values(table, _stratify(recipe), step="split", mapped=mapped)
    except StepError:
        return None


def _curve(recipe: Recipe, cell: Cell, places: dict[int, Layout]) -> Curve:
    from evalkit.report.run import combined_log

    logs = {
        size: (combined_log(place.evaluation("base")), combined_log(place.evaluation(cell.name)))
        for size, place in places.items()
    }
    alpha = stated_alpha(recipe, next(iter(places.values())))
    return curve_of(recipe, cell, "examples", logs, list(places.values()), alpha=alpha)
