"""``datakit curve RECIPE --examples``: the arms trained on nested subsets; killed and started again it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.errors import StorageError
from datakit.core.hashing import tree_digest
from datakit.core.require import own_package
from datakit.core.storage import atomic_directory, read_json, read_table, write_json, write_table
from datakit.experiment.arms import cell_keys, cells, train_cell
from datakit.experiment.curve import Curves, write_curves
from datakit.experiment.evaluation import evaluate_cells, suites
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.opened import base_of
from datakit.experiment.recipe import Recipe, read_recipe
from datakit.experiment.run import build_data, claim_run, record
from datakit.experiment.stale import drop_stale
from datakit.mixing.subset import nested_subsets

if TYPE_CHECKING:
    from datakit.experiment.arms import Cell

__all__ = ["example_curves"]

_FORMAT = 1
_NOTE = "subset.json"


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
        StepError: More examples are asked for than there are.
        DatakitError: And its children.
    """
    for package in ("train", "evalkit"):
        own_package(package)
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(Path(recipe))
    layout = Layout(output or Path("runs") / recipe.name)
    wanted = cells(recipe, arm=arm, seed=seed)
    model = base_of(recipe)
    claim_run(recipe, layout)
    build_data(recipe, layout, listen)
    record(recipe, layout, model, cells(recipe))
    places = _subsets(recipe, layout, sizes)
    for size, place in places.items():
        keys = cell_keys(recipe, wanted, model, place.data)
        drop_stale(keys, place)
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
    import pyarrow as pa

    seed = recipe.seeds[0]
    train = pa.concat_tables([read_table(path) for path in layout.split("train")])
    strata = _strata(recipe, train)
    tables = nested_subsets(train, sizes, strata=strata, seed=seed)
    source = tree_digest(layout.data, ("*.parquet",))
    places = {}
    for size, table in tables.items():
        place = Layout(layout.root / "examples" / str(size))
        facts = {"data": source, "size": size, "seed": seed, "stratify": _stratify(recipe)}
        if _noted(place) != facts:
            with atomic_directory(place.data) as folder:
                shutil.copytree(layout.data, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("train-*"))
                write_table(folder / "train-00000-of-00001.parquet", table)
            write_json(place.root / _NOTE, facts, format=_FORMAT)
        places[size] = place
    return places


def _noted(place: Layout) -> dict[str, Any] | None:
    try:
        facts = read_json(place.root / _NOTE, format=_FORMAT)
    except StorageError:
        return None
    return {key: value for key, value in facts.items() if key != "format"} if place.split("train") else None


def _stratify(recipe: Recipe) -> str:
    """The column the split is stratified by; the label where it is not."""
    params = next((step.params for step in recipe.data.steps if step.name == "split"), {})
    return str(params.get("stratify") or "label")


def _strata(recipe: Recipe, table: Any) -> list[Any]:
    """The column's value of every row, by its name in the file or ours."""
    name = _stratify(recipe)
    theirs = {file: ours for source in recipe.data.sources.values() for ours, file in source.columns.items()}
    fields = [json.loads(text) if text else {} for text in table.column("fields").to_pylist()]
    if any(name in row for row in fields):
        return [row.get(name) for row in fields]
    ours = theirs.get(name, name)
    return list(table.column(ours).to_pylist()) if ours in table.column_names else [None] * table.num_rows


def _curve(recipe: Recipe, cell: Cell, places: dict[int, Layout]) -> Any:
    from evalkit.compare import combine_logs, compare
    from evalkit.curve import Curve, CurvePoint
    from evalkit.report.run import read_logs

    points = []
    for size, place in places.items():
        alpha = next((suite.alpha for suite in suites(recipe, place) if suite.name != "task"), 0.05)
        before, after = (combine_logs(read_logs(place.evaluation(name))) for name in ("base", cell.name))
        points.append(CurvePoint(size, compare(before, after, alpha=alpha)))
    return Curve(cell.arm, cell.seed, "examples", tuple(points))
