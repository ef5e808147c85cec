"""``datakit mix``: several plain files in chosen proportions."""

from __future__ import annotations

from typing import Any

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import reading_options

__all__ = ["command"]


@click.command("mix", cls=StepCommand, steps=["mix"], without=["seed", "by", "weights"])
@click.option("-o", "--output", metavar="OUT", help="File, URL, or - for standard output.")
@click.option("--seed", type=int, default=0, help="Of the choice of rows.  [default: 0]")
@reading_options
def command(**given: Any) -> None:
    """Mix FILES in proportion, each written as FILE:WEIGHT, or by their sizes.

    Rows are left out, or repeated where --max-repeats allows it, each byte for
    byte. The files must be of one format and have the same columns.

    \b
    Examples:
      $ datakit mix tickets.csv:0.7 more.csv:0.3 --rows 100 -o mixed.csv
      $ datakit mix tickets.csv more.csv --temperature 2 -o even.csv
    """
    import json

    from datakit.cli.console import console
    from datakit.cli.plain import files_of, make_step
    from datakit.plain.mix import mix, weighed

    paths, weights = weighed(given["files"])
    parts = {path: files_of(given, [path]) for path in paths}
    result = mix(parts, make_step("mix", given, {}, weights=weights), given["output"])
    to_stderr = result.output == "-"
    if given["as_json"]:
        facts = {"available": result.available, "rows": result.rows, "output": result.output}
        click.echo(json.dumps(facts, ensure_ascii=False, indent=1), err=to_stderr)
        return
    out = console(quiet=given["quiet"], to_stderr=to_stderr)
    total = sum(result.rows.values())
    for name, available in result.available.items():
        rows = result.rows.get(name, 0)
        share = f"{100 * rows / total:.1f} %"
        out.print(f"{rows:>9,} of {available:>9,}  {share:>7}  {name}", markup=False, soft_wrap=True)
    out.print(f"{total:>9,} {'rows':<21} {result.output}", markup=False, soft_wrap=True)
