"""``datakit interpolate``: weights between the base and a tuned model, chosen under a budget of forgetting."""

from __future__ import annotations

from pathlib import Path

import click

from datakit.cli.curves import Numbers, budget_option, show_curves

__all__ = ["command"]


@click.command("interpolate")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("arm", metavar="ARM")
@click.option(
    "--alphas",
    type=Numbers(float, name="A,A,...", example="0.25,0.5,1"),
    default="0,0.2,0.4,0.6,0.8,1",
    show_default=True,
    help="How far to go: 0 is the base, 1 the tuned model.",
)
@click.option("--seed", type=int, help="Only this seed.")
@budget_option("one")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the chosen weights into this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print interpolate.json on stdout, progress on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    run: Path,
    arm: str,
    alphas: tuple[float, ...],
    seed: int | None,
    budget: float,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Go only part of the way from the base to an arm, and see what it keeps.

    Every alpha is evaluated beside the base. The one that gains most while the
    general tasks lose at most the budget is chosen on three tenths of the items
    and reported on the others.

    \b
    Examples:
      $ datakit interpolate runs/support full --alphas 0.5,1
      $ datakit interpolate runs/support lora --alphas 0.5,1 --budget 1 -o half
    """
    import sys

    from datakit.cli.console import console
    from datakit.cli.progress import listening
    from datakit.experiment.interpolate import interpolate
    from datakit.experiment.layout import open_run

    with listening(quiet=quiet, to_stderr=as_json) as listen:
        found = interpolate(open_run(run), arm, alphas, seed=seed, budget=budget, output=output, listen=listen)
    if as_json:
        sys.stdout.write(found.curves.data.read_text(encoding="utf-8"))
        return
    show_curves(found.curves, quiet=quiet)
    if found.model is not None:
        console(quiet=quiet).print(f"model     {found.model}", markup=False, soft_wrap=True)
