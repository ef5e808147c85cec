"""``datakit pii``: personal data in plain files replaced."""

from __future__ import annotations

from typing import Any

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import writing_options

__all__ = ["command"]


@click.command("pii", cls=StepCommand, steps=["pii"], renamed={"languages": "language"})
@writing_options(shards=True)
def command(**given: Any) -> None:
    """Replace personal data in every column of FILES.

    Rows without any are written byte for byte. The rest keep their form; only the
    values are replaced, in nested columns and chat turns too. No original value
    is written anywhere. Shards and later runs need the same --key to agree.

    \b
    Examples:
      $ datakit pii tickets.csv -o clean.csv --replace tag
      $ cat tickets.csv | datakit pii - --format csv --language ko,en
    """
    from datakit.cli.plain import run_steps

    run_steps(given, [("pii", {})], needs_text=False)
