"""``datakit fetch``: everything a recipe takes from the hub, in one folder."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("fetch")
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bundle"),
    show_default=True,
    help="Folder to fill.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was fetched as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(recipe: Path, output: Path, as_json: bool, quiet: bool) -> None:
    """Fetch models, task data and templates of RECIPE, for a machine without network.

    Carry the folder there and write `hub: FOLDER` and `network: never` into the
    recipe. Called again it fetches only what is new.

    \b
    Examples:
      $ datakit fetch support.yaml -o bundle
      $ datakit fetch support.yaml -o bundle --json
    """
    from dataclasses import asdict

    from datakit.cli.console import console, print_json
    from datakit.cli.progress import listening
    from datakit.experiment.fetch import fetch
    from datakit.experiment.recipe import read_recipe

    with listening(quiet=quiet, to_stderr=as_json) as listen:
        done = fetch(read_recipe(recipe), output, listen=listen)
    if as_json:
        print_json({"folder": str(output), "things": [asdict(entry) for entry in done]})
        return
    out = console(quiet=quiet)
    if not done:
        out.print("nothing   the recipe takes nothing from the hub", markup=False)
    total = sum(entry.bytes for entry in done)
    out.print(f"{'folder':<10}{output} · {len(done)} things, {total / 1e6:.1f} MB", markup=False, soft_wrap=True)
    out.print(f"{'next':<10}in the recipe: hub: {output} and network: never", markup=False, soft_wrap=True)
