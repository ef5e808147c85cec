"""``datakit build``: the data part of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datakit.build import BuildResult
    from datakit.ledger import StepCount

__all__ = ["command"]

_WIDTH = 80


@click.command("build")
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Run folder; runs/NAME by default.")
@click.option("--seed", type=int, help="Instead of the recipe's first seed.")
@click.option("--offline", is_flag=True, help="Fetch nothing, as with network: never.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes for steps row by row.  [default: 1]")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    recipe: Path, output: Path | None, seed: int | None, offline: bool, workers: int, as_json: bool, quiet: bool
) -> None:
    """Run only the data part of RECIPE: sources, steps, dataset, ledger.

    A build that was stopped goes on where it stopped. The dataset in OUTPUT/data
    loads with datasets.load_dataset.

    \b
    Examples:
      $ datakit build support.yaml -o runs/tickets
      $ datakit build support.yaml -o runs/tickets --seed 2 --json
    """
    from datakit.build import build
    from datakit.cli.console import console, print_json
    from datakit.experiment.suite_items import suite_items, wanted_suite
    from datakit.recipe import read_data_recipe

    data, document = read_data_recipe(recipe)
    if output is None:
        output = Path("runs") / str(document.value.get("name") or recipe.stem)
    out = console(quiet=quiet or as_json)

    def show(count: StepCount) -> None:
        for line in _lines(count):
            out.print(line, markup=False)

    out.print(f"{'step':<20}{'rows in':>10}{'rows out':>10}  what happened", markup=False)
    with suite_items(data, wanted_suite(document.value), recipe.parent) as resources:
        result = build(
            recipe, output=output, seed=seed, resources=resources, offline=offline, progress=show, workers=workers
        )
    if as_json:
        print_json(_as_json(result))
        return
    for step, note in result.notes:
        out.print(f"note      {step}: {note}", markup=False)
    splits = " · ".join(f"{name} {rows:,}" for name, rows in result.splits.items())
    out.print(f"data      {splits} rows", markup=False)
    out.print(f"folder    {result.folder}", markup=False, soft_wrap=True)
    out.print(f"next      datakit why {output} ID", markup=False, soft_wrap=True)


def _lines(count: StepCount) -> list[str]:
    """A row of the table, folded to 80 columns."""
    import textwrap

    head = f"{count.name[:19]:<20}{count.rows_in:>10,}{count.rows_out:>10,}  "
    what = count.sentence() or "-"
    return textwrap.wrap(what, width=_WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def _as_json(result: BuildResult) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "splits": result.splits,
        "steps": [count._asdict() for count in result.steps],
        "labels": {name: list(names) for name, names in result.labels.items()},
        "replay": {name: str(path) for name, path in result.replay.items()},
        "notes": [{"step": step, "note": note} for step, note in result.notes],
    }
