"""What a run says while it works; the command line draws it, a script may listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Event", "Listener", "Stage", "silent"]

Stage = Literal["plan", "check", "fetch", "build", "train", "evaluate", "report", "dropped"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling.

    Attributes:
        stage: Part of the loop; ``dropped`` tells whose evaluations are no longer true and leave the run.
        subject: What it is about: a step, a cell, a task.
        text: One line for people.
        fraction: Share of the subject that is done, where known.
        final: The line stays; the others are overwritten on a terminal and left out of a log.
    """

    stage: Stage
    subject: str
    text: str
    fraction: float | None = None
    final: bool = True


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listens to nothing."""
