"""``datakit curve``: gain and forgetting along a training, or against the number of examples."""

from __future__ import annotations

from pathlib import Path

import click

from datakit.cli.curves import Numbers, budget_option, show_curves

__all__ = ["command"]


@click.command("curve")
@click.argument("run", metavar="RUN|RECIPE", type=click.Path(path_type=Path))
@click.option(
    "--examples",
    type=Numbers(int, name="N,N,...", example="50,100,250"),
    help="Train RECIPE on nested subsets of so many examples.",
)
@click.option("--arm", help="Only this arm.")
@click.option("--seed", type=int, help="Only this seed.")
@budget_option("the best checkpoint")
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
    show_curves(found, quiet=quiet)
