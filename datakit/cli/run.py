"""``datakit run``: the whole loop of a recipe."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("run", short_help="Build, train, evaluate and report.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/NAME]")
@click.option("--arm", help="Only this arm.")
@click.option("--seed", type=int, help="Only this seed.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout, progress on stderr.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(recipe: Path, output: Path | None, arm: str | None, seed: int | None, as_json: bool, quiet: bool) -> None:
    """Build the data, train every arm, compare each with the base, and report.

    What is done already is not done again: kill it, call it again, and it goes
    on. Exits 0 whatever the verdict is; `datakit gate` turns it into a code.

    \b
    Examples:
      $ datakit run support.yaml
      $ datakit run support.yaml --arm lora --seed 1
    """
    import sys

    from datakit.cli.progress import listening
    from datakit.cli.result import show
    from datakit.experiment.run import run

    with listening(quiet=quiet, to_stderr=as_json) as listen:
        result = run(recipe, output=output, arm=arm, seed=seed, listen=listen)
    if as_json:
        sys.stdout.write((result.folder / "report.json").read_text(encoding="utf-8"))
        return
    show(result, quiet=quiet)
