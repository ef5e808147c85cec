"""Trackers: numbers of a running training where people look at them. No text, no path, no row ever reaches one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from datakit.core.registry import Registry
from train.errors import TrainError
from train.events import Event, Progress, StepDone, Validated

__all__ = ["TRACKERS", "Tracked", "Tracker", "tracking"]

TRACKERS = Registry(
    "train.callbacks",
    {
        "mlflow": "train.callbacks.mlflow:Mlflow",
        "tensorboard": "train.callbacks.tensorboard:TensorBoard",
        "wandb": "train.callbacks.wandb:Wandb",
    },
)


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a tracker is told once, at the beginning.

    Attributes:
        name: Of the output's folder.
        folder: Where a tracker that writes files writes them.
        settings: Of the arm.
        done: Optimizer steps that a training which goes on has behind it.
        offline: Nothing is sent anywhere.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    done: int = 0
    offline: bool = False


class Tracker(Protocol):
    """A tracker, made with one :class:`Tracked`."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after a step, by name."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


@contextlib.contextmanager
def tracking(names: Sequence[str], told: Tracked, progress: Progress | None) -> Iterator[Progress | None]:
    """Yields what hands events to ``progress`` and their numbers to the trackers.

    Args:
        names: Of trackers.
        told: To each of them, with the folder beside the output that gets one folder per tracker.
        progress: Hears every event.

    Raises:
        TrainError: No tracker of that name, or one that is not installed.
    """
    with contextlib.ExitStack() as stack:
        trackers: list[Tracker] = []
        for name in dict.fromkeys(names):
            if name not in TRACKERS.names():
                raise TrainError(f"track: no tracker named '{name}'", hint=f"Known: {', '.join(TRACKERS.names())}")
            made = TRACKERS.load(name)
            trackers.append(made(replace(told, folder=told.folder / name / told.name)))
            stack.callback(trackers[-1].close)

        def listen(event: Event) -> None:
            values = _numbers(event)
            for tracker in trackers if values else ():
                tracker.scalars(getattr(event, "step", 0), values)
            if progress is not None:
                progress(event)

        yield listen if trackers else progress


def _numbers(event: Event) -> dict[str, float]:
    if isinstance(event, StepDone):
        names = ("loss", "learning_rate", "gradient_norm", "trained_tokens", "tokens_per_second", "memory")
        return {f"train/{name}": float(getattr(event, name)) for name in names}
    if isinstance(event, Validated):
        loss = {} if event.loss is None else {"validation/loss": event.loss}
        return {**loss, **{f"probe/{name}": float(value) for name, value in event.probe.items()}}
    return {}
