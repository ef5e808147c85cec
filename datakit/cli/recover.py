"""``datakit recover``: is a forgotten skill gone, or only hidden?"""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("recover")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--arm", required=True, help="Whose forgetting.")
@click.option("--task", "tasks", multiple=True, help="A general task; may be repeated.  [default: what regressed]")
@click.option("--seed", type=int, help="Of the arm.  [default: its first]")
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Of the short training.")
@click.option(
    "--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Of the short training.  [the arm's]"
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file.  [default: RUN/recover.json]")
@click.option("--json", "as_json", is_flag=True, help="Print recover.json on stdout, progress on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    run: Path,
    arm: str,
    tasks: tuple[str, ...],
    seed: int | None,
    steps: int,
    learning_rate: float | None,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say whether what an arm forgot is lost or only hidden.

    Trains the arm and its base for a few steps on half of a regressed task's items
    and measures both on the other half. What comes back was hidden: the way of
    answering went, not the knowledge. The trained weights are thrown away.

    \b
    Examples:
      $ datakit recover runs/support --arm full --task format --steps 5
    """
    import sys

    from datakit.cli.console import console
    from datakit.cli.progress import listening
    from datakit.experiment.layout import open_run
    from datakit.experiment.recover import recover

    layout = open_run(run)
    with listening(quiet=quiet, to_stderr=as_json) as listen:
        found = recover(
            layout,
            arm=arm,
            tasks=tasks,
            seed=seed,
            steps=steps,
            learning_rate=learning_rate,
            output=output,
            listen=listen,
        )
    if as_json:
        sys.stdout.write(found.path.read_text(encoding="utf-8"))
        return
    from evalkit.report.recovery_words import recovery_lines

    out = console(quiet=quiet)
    title = f"{found.cell.arm}, seed {found.cell.seed}: {steps} steps on half of the items, measured on the rest"
    out.print(f"RECOVER   {title}", markup=False, soft_wrap=True)
    for task in found.tasks:
        for line in recovery_lines(task):
            out.print(line, markup=False, soft_wrap=True)
    out.print(f"figures   {found.path}", markup=False, soft_wrap=True)
