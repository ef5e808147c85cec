"""The end of ``run`` and ``demo``: the table, the verdict, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datakit.cli.console import console

if TYPE_CHECKING:
    from datakit.experiment.run import Run

__all__ = ["show"]


def show(result: Run, *, quiet: bool = False, forgotten: int = 1) -> None:
    """Prints the table of a run in 80 columns, and the next commands.

    Args:
        result: The run.
        quiet: Print nothing.
        forgotten: How many forgotten items are shown.
    """
    from rich.markup import escape

    from evalkit.report.stage_figure import stage_lines
    from evalkit.report.terminal import lines

    out = console(quiet=quiet)
    for line in [*stage_lines(result.report.stages), *lines(result.report, count=forgotten)]:
        out.print(escape(line), soft_wrap=True)
    folder = result.folder
    out.print(f"[bold]report   [/bold] {escape(str(folder / 'report.html'))} · pull request: report.md", soft_wrap=True)
    ranked = result.report.ranked()
    arm = ranked[0].name if ranked else "ARM"
    out.print(
        f"[bold]next     [/bold] datakit ask {escape(str(folder))} · "
        f"datakit gate {escape(str(folder))} --arm {escape(arm)}",
        soft_wrap=True,
    )
