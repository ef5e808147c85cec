"""``datakit filter``: rows that fail a check taken out of plain files."""

from __future__ import annotations

from typing import Any

import click

from datakit.cli.options import StepCommand
from datakit.cli.plain import writing_options

__all__ = ["command"]

# Steps that are no filters, or commands of their own.
_OTHERS = {"chunk", "decontaminate", "dedup", "filter", "label", "mix", "pii", "split", "template"}

_WITHOUT_TEXT = {"balance", "filter"}


def _filters() -> list[str]:
    """All other steps, plugins' too."""
    from datakit.recipe import STEPS

    return [name for name in STEPS.names() if name not in _OTHERS]


@click.command("filter", cls=StepCommand, steps=_filters)
@click.option("--use", multiple=True, metavar="NAME", help="A registered filter or module:function; repeatable.")
@click.option("--check", multiple=True, metavar="STEP", help="A filter of recipes, as it is by default; repeatable.")
@writing_options(shards=True)
def command(**given: Any) -> None:
    """Take rows that fail a check out of FILES.

    A filter of your own is a function that gets an example and returns None, or
    the reason to drop it: --use mine:shouting calls shouting() in mine.py. Steps
    of recipes that filter run where one of their options is given, or --check
    names them. Dropped rows and reasons stand in OUT.dropped.jsonl.

    \b
    Examples:
      $ datakit filter tickets.csv -o calm.csv --use mine:shouting
      $ datakit filter tickets.csv -o short.csv --max-words 60 --keep en,ko
    """
    from datakit.cli.options import is_given
    from datakit.cli.plain import run_steps
    from datakit.core.registry import suggest

    known = _filters()
    for name in given["check"]:
        if name not in known:
            raise click.UsageError(f"no filter named '{name}'. {suggest(name, known)}")
    steps: list[tuple[str, dict[str, Any]]] = [
        (name, {}) for name in known if name in given["check"] or is_given(name, given)
    ]
    steps += [("filter", {"use": use}) for use in given["use"]]
    if not steps:
        raise click.UsageError("no check is named; for example --use mine:shouting")
    run_steps(given, steps, needs_text=any(name not in _WITHOUT_TEXT for name, _ in steps))
