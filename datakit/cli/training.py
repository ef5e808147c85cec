"""How training looks: a bar with loss and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_training"]

_LINE_EVERY = 15.0  # seconds between two lines in a log


@contextlib.contextmanager
def show_training(console: Console, *, name: str = "train") -> Iterator[Callable[[Any], None]]:
    """Yields a function that takes training's events and shows them.

    Args:
        console: Where to; silent if it is quiet.
        name: Stands at the beginning of every line: the arm.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=8),
        MofNCompleteColumn(),
        TextColumn("{task.fields[course]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield _Display(console, bar, name)


class _Display:
    def __init__(self, console: Console, bar: Any, name: str) -> None:
        self._console, self._bar, self._name = console, bar, name
        self._task: Any = None
        self._last = time.monotonic()

    def __call__(self, event: Any) -> None:
        getattr(self, f"_{type(event).__name__.lower()}")(event)

    def _print(self, text: str) -> None:
        self._console.print(f"{self._name:<9} {text}", markup=False)

    def _preflight(self, event: Any) -> None:
        from rich.text import Text

        self._print("rows as the model sees them, what is trained marked:")
        for pieces in event.rows:
            line = Text("  ")
            for text, trained in pieces:
                shown = text.replace("\n", "\u23ce")
                if trained:
                    shown = shown if self._console.is_terminal and not self._console.no_color else f"⟦{shown}⟧"
                line.append(shown, style="bold green" if trained else "dim")
            self._console.print(_shortened(line, 2 * self._console.width))
        if event.truncated or event.dropped:
            self._print(
                f"longer than {event.max_length} tokens: {event.truncated:,} rows lost their end, "
                f"{event.dropped:,} their whole answer and are left out"
            )

    def _checked(self, event: Any) -> None:
        if not event.passed and event.check != "length":  # that one is told with the rows
            self._print(f"note: {event.text}")

    def _started(self, event: Any) -> None:
        rows = event.rows
        replay = f" + {rows['replay']:,} to replay" if rows["replay"] else ""
        self._print(
            f"{rows['train']:,} rows{replay} · {_steps(event.steps)} · {event.trainable_parameters:,} of "
            f"{event.total_parameters:,} parameters · {event.device}, {event.precision}"
        )
        self._task = self._bar.add_task(f"{self._name:<9}", total=event.steps, course="")

    def _resumed(self, event: Any) -> None:
        for name in event.damaged:
            self._print(f"the saved state {name} is damaged and not used")
        if event.step:
            self._print(f"goes on after step {event.step:,} of {event.steps:,}")

    def _stopped(self, event: Any) -> None:
        self._print(
            f"{event.signal}: stopped after step {event.step:,} of {event.steps:,}; the same command goes on from there"
        )

    def _stepdone(self, event: Any) -> None:
        from train import step_course

        course = step_course(event)
        self._bar.update(self._task, completed=event.step, course=course)
        if not self._console.is_terminal and time.monotonic() - self._last >= _LINE_EVERY:
            self._last = time.monotonic()
            self._print(f"step {event.step:,} of {event.steps:,} · {course}")

    def _flat(self, event: Any) -> None:
        self._print(
            f"step {event.step:,} · the loss has not fallen: {event.first:.3f} at first, {event.last:.3f} now; "
            "is learning_rate too low, or much too high?"
        )

    def _packing(self, event: Any) -> None:
        if not event.packed and event.why != "packing: false":
            self._print(f"rows are not packed: {event.why}")

    def _validated(self, event: Any) -> None:
        parts = [] if event.loss is None else [f"validation loss {event.loss:.4f}"]
        parts += [f"{key} {value:.4f}" for key, value in event.probe.items()]
        if parts:
            self._print(f"step {event.step:,} · " + " · ".join(parts))

    def _watched(self, event: Any) -> None:
        ended = f"ended after step {event.step:,} of {event.steps:,}: {event.why}" if event.why else ""
        kept = f"kept is the state after step {event.kept:,}" if event.kept != event.step else ""
        self._print(" · ".join(part for part in (ended, kept) if part))

    def _finished(self, event: Any) -> None:
        rate = event.tokens / max(event.seconds, 1e-9)
        parts = [_clock(event.seconds)]
        parts += [f"{event.trained_tokens:,} tokens trained"] if event.trained_tokens else []  # else nobody knows
        parts += [f"{rate:,.0f} tokens/s"] if event.tokens else []
        self._print(" · ".join(parts))


def _shortened(line: Any, width: int) -> Any:
    """The line with its middle left out: the trained answer stands at the end."""
    if len(line) <= width:
        return line
    half = (width - 3) // 2
    return line[:half].append(" … ").append(line[len(line) - half :])


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
