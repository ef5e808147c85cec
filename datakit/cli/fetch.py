"""``datakit fetch``: what a recipe needs of the Hub, into a folder for a machine without network."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("fetch")
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder to fill.")
@click.option("--list", "only_list", is_flag=True, help="Say what is needed and fetch nothing.")
@click.option("--json", "as_json", is_flag=True, help="What is needed as JSON on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
def command(recipe: Path, output: Path | None, only_list: bool, as_json: bool, quiet: bool) -> None:
    """Collect models and data a recipe needs, for a machine without network.

    On that machine the recipe says `hub: FOLDER` and `network: never`. Models
    lie in it as org/name, data sets as datasets/org/name.

    \b
    Examples:
      $ datakit fetch recipe.yaml --list
    """
    from datakit.cli.console import console, print_json
    from datakit.core.errors import UsageError
    from datakit.core.require import own_package
    from datakit.experiment.fetch import fetch, needs
    from datakit.experiment.recipe import read_recipe

    own_package("evalkit")
    if output is None and not only_list:
        raise UsageError("no folder given", hint="Add -o bundle/, or --list to see what is needed")
    read = read_recipe(recipe)
    screen = console(quiet=quiet or as_json)
    if only_list or output is None:
        wanted = needs(read)
        for need in wanted:
            screen.print(f"{need.kind:<8} {need.name}  ({need.why})", markup=False)
        if not wanted:
            screen.print("nothing of the Hub is needed", markup=False)
    else:
        wanted = list(fetch(read, output, told=lambda need: screen.print(f"{need.kind:<8} {need.name}", markup=False)))
        screen.print(f"bundle    {output} · on the other machine: hub: {output.name}, network: never", markup=False)
    if as_json:
        print_json({"needs": [{"kind": need.kind, "name": need.name, "why": need.why} for need in wanted]})
