"""Draws what a run tells: a live line on a terminal, finished lines in a log."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from datakit.cli.console import console
from datakit.experiment.events import Event, Listener

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["listening", "said"]

_WIDTH = 8


def said(out: Console, event: Event, last: str) -> str:
    """Prints a finished line under its stage, whose name stands once; returns the stage."""
    from rich.markup import escape

    stage = event.stage if event.stage != last else ""
    text = escape(event.text)
    if out.is_terminal:  # the trained tokens of a row; a log keeps the marks
        text = re.sub("⟦(.*?)⟧", r"[bold green]\1[/bold green]", text)
    out.print(f"[bold]{stage:<9}[/bold] {text}", soft_wrap=True)
    return event.stage


@contextlib.contextmanager
def listening(*, quiet: bool = False, to_stderr: bool = False) -> Iterator[Listener]:
    """A listener for ``run`` that prints finished lines and, on a terminal, overwrites one line with what goes on."""
    out = console(quiet=quiet, to_stderr=to_stderr)
    last = ""
    if not out.is_terminal:

        def plain(event: Event) -> None:
            nonlocal last
            if event.final:
                last = said(out, event, last)

        yield plain
        return

    status = out.status("", spinner="dots")

    def live(event: Event) -> None:
        nonlocal last
        if event.final:
            last = said(out, event, last)
            return
        from rich.text import Text

        done = round((event.fraction or 0.0) * _WIDTH)
        bar = "" if event.fraction is None else f"{'━' * done}{'╌' * (_WIDTH - done)} "
        status.update(Text(f"{event.stage:<9} {bar}{_fitting(event.text, out.width - 14 - len(bar))}"))

    with status:
        yield live


def _fitting(text: str, width: int) -> str:
    """The text on one line: parts at its end are left out whole, so that no figure loses its digits."""
    while len(text) > width and " · " in text:
        text = text.rpartition(" · ")[0]
    return text[:width]
