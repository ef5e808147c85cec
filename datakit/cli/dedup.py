"""``datakit dedup``: exact and near-duplicates taken out of plain files."""

from __future__ import annotations

from typing import Any

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import writing_options

__all__ = ["command"]


@click.command("dedup", cls=StepCommand, steps=["dedup"])
@writing_options(shards=False)
def command(**given: Any) -> None:
    """Take exact and near-duplicates out of FILES.

    The output is the input minus rows, byte for byte. Each dropped row stands in
    OUT.dropped.jsonl with the row that stays and how similar the two are.

    \b
    Examples:
      $ datakit dedup tickets.csv -o unique.csv --threshold 0.8
      $ cat tickets.csv | datakit dedup - --on text
    """
    from datakit.cli.plain import run_steps

    on = given["step_dedup_on"]
    run_steps(given, [("dedup", {})], needs_text=on in (None, "auto", "text"))
