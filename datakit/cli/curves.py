"""What the commands that draw curves share: lists of numbers, the budget of forgetting, and the lines they print."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datakit.experiment.curve import Curves

__all__ = ["Numbers", "budget_option", "show_curves"]


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers joined by commas; what they may be is checked where they are used.

    Args:
        kind: Of each: ``int`` or ``float``.
        name: In the help page.
        example: For the message.
    """

    def __init__(self, kind: Callable[[str], float], *, name: str, example: str) -> None:
        self.kind, self.name, self.example = kind, name, example

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The numbers, in their order."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(part) for part in value.split(","))
        except ValueError:
            whole = "whole " if self.kind is int else ""
            self.fail(f"'{value}' is no list of {whole}numbers such as {self.example}", param, ctx)


def budget_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--budget``: the loss under which one of several models is chosen.

    Args:
        what: Which model is chosen.
    """
    return click.option(
        "--budget",
        type=click.FloatRange(min=0, max=1),
        default=0.01,
        show_default=True,
        help=f"Mean loss allowed when {what} is chosen; 0.01 is a point.",
    )


def show_curves(found: Curves, *, quiet: bool) -> None:
    """Prints a table for each curve, and where page and figures lie."""
    from datakit.cli.console import console
    from evalkit.report.curve_lines import curve_name
    from evalkit.report.curve_words import curve_table

    out = console(quiet=quiet)
    for curve in found.curves:
        for line in curve_table(curve, curve_name(curve, found.curves)):
            out.print(line, markup=False, soft_wrap=True)
    out.print(f"page      {found.page} · figures: {found.data.name}", markup=False, soft_wrap=True)
