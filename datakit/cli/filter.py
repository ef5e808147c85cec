"""``datakit filter``: rows that fail a check taken out of plain files."""

from __future__ import annotations

from typing import Any

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import writing_options

__all__ = ["command"]


@click.command("filter", cls=StepCommand)
@click.option("--use", multiple=True, metavar="NAME", help="A registered filter or module:function; repeatable.")
@writing_options(shards=True)
def command(**given: Any) -> None:
    """Take rows that fail a check out of FILES.

    A filter of your own is a function that gets an example and returns None, or
    the reason to drop it: --use mine:shouting calls shouting() in mine.py.

    \b
    Examples:
      $ datakit filter tickets.csv -o long.csv --use mine:short
    """
    from datakit.cli.plain import run_steps

    if not given["use"]:
        raise click.UsageError("no check is named; for example --use mine:shouting")
    run_steps(given, {"filter": {"use": given["use"][0]}})
