"""``datakit split``: plain files into train, validation and test."""

from __future__ import annotations

from typing import Any

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import reading_options

__all__ = ["command"]


@click.command("split", cls=StepCommand, steps=["split"], without=["seed"])
@click.option("-o", "--output", metavar="FOLDER", required=True, help="Folder or URL for the files of the splits.")
@click.option("--seed", type=int, default=0, help="Of the assignment.  [default: 0]")
@reading_options
def command(**given: Any) -> None:
    """Put the rows of FILES into train, validation and test.

    Rows with equal values in --group stay on one side. FOLDER gets train.EXT and
    so on, in the input's format and compression, each row byte for byte. The
    side of a row does not depend on where in the file it stands.

    \b
    Examples:
      $ datakit split tickets.csv -o splits --test 0.1 --stratify label
      $ datakit split tickets.csv -o by-customer --group customer --json
    """
    import json

    from datakit.cli.console import console
    from datakit.cli.plain import files_of, make_step
    from datakit.plain.columns import said_columns
    from datakit.plain.engine import read_columns
    from datakit.plain.split import split

    said = said_columns(given["column"])
    files = files_of(given)
    step = make_step("split", given, read_columns(files, said) or {})
    result = split(files, step, given["output"], columns=said)
    if given["as_json"]:
        click.echo(json.dumps({"rows": result.rows, "outputs": result.outputs, "notes": result.notes}, indent=1))
        return
    out = console(quiet=given["quiet"])
    for name, place in result.outputs.items():
        out.print(f"{name:<12}{result.rows[name]:>9,}  {place}", markup=False, soft_wrap=True)
    for note in result.notes:
        out.print(f"{'note':<12}{note}", markup=False, soft_wrap=True)
