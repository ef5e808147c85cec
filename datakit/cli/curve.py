"""``datakit curve``: gain and forgetting along a training, or against the number of examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from datakit.experiment.curve import Curves

__all__ = ["command"]


class _Numbers(click.ParamType[tuple[int, ...]]):
    name = "N,N,..."

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Rising whole numbers."""
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"'{value}' is no list of whole numbers such as 50,100,250", param, ctx)
        if found[0] < 1 or list(found) != sorted(set(found)):
            self.fail(f"'{value}' must rise and begin at 1 or more", param, ctx)
        return found


@click.command("curve")
@click.argument("run", metavar="RUN|RECIPE", type=click.Path(path_type=Path))
@click.option("--examples", type=_Numbers(), help="Train RECIPE on nested subsets of so many examples.")
@click.option("--arm", help="Only this arm.")
@click.option("--seed", type=int, help="Only this seed.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, max=1),
    default=0.01,
    show_default=True,
    help="Mean loss allowed when the best checkpoint is chosen; 0.01 is a point.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the page; of the run with --examples.")
@click.option("--json", "as_json", is_flag=True, help="Print curve.json on stdout, progress on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    run: Path,
    examples: tuple[int, ...] | None,
    arm: str | None,
    seed: int | None,
    budget: float,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show gain and forgetting along a training, or per number of examples.

    Of a RUN, whose arms say `checkpoints: 5`, every kept state is evaluated: where
    a task first regressed, and the best state under a budget of forgetting. With
    --examples a RECIPE is trained on nested subsets; killed, it goes on.

    \b
    Examples:
      $ datakit curve runs/support --arm full --budget 0.02
      $ datakit curve support.yaml --examples 20,60 --arm lora
    """
    import sys

    from datakit.cli.progress import listening
    from datakit.core.errors import UsageError

    is_recipe = run.suffix in (".yaml", ".yml")
    if is_recipe != (examples is not None):
        raise UsageError(
            "a recipe needs --examples, and --examples a recipe",
            hint="datakit curve RECIPE.yaml --examples 50,100,250, or datakit curve RUN",
        )
    with listening(quiet=quiet, to_stderr=as_json) as listen:
        if examples is not None:
            from datakit.experiment.sizes import example_curves

            found = example_curves(run, examples, output=output, arm=arm, seed=seed, listen=listen)
        else:
            from datakit.experiment.curve import checkpoint_curves
            from datakit.experiment.layout import open_run

            found = checkpoint_curves(open_run(run), arm=arm, seed=seed, budget=budget, output=output, listen=listen)
    if as_json:
        sys.stdout.write(found.data.read_text(encoding="utf-8"))
        return
    _show(found, quiet=quiet)


def _show(found: Curves, *, quiet: bool) -> None:
    from datakit.cli.console import console
    from evalkit.report.curve_lines import curve_name
    from evalkit.report.curve_words import curve_table

    out = console(quiet=quiet)
    for curve in found.curves:
        for line in curve_table(curve, curve_name(curve, found.curves)):
            out.print(line, markup=False, soft_wrap=True)
    out.print(f"page      {found.page} · figures: {found.data.name}", markup=False, soft_wrap=True)
