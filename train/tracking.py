"""Trackers: numbers of a running training where people look at them. No text, no path, no row ever reaches one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from datakit.core.registry import Registry
from train.errors import TrainError
from train.events import Checked, Event, Progress, StepDone, Validated

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

    A tracker that fails while the training runs gets no more numbers, and that is told; the training goes on.

    Raises:
        TrainError: No tracker of that name, or one that is not installed or cannot begin.
    """
    with contextlib.ExitStack() as stack:
        trackers: dict[str, Tracker] = {}
        for name in dict.fromkeys(names):
            if name not in TRACKERS.names():
                raise TrainError(f"track: no tracker named '{name}'", hint=f"Known: {', '.join(TRACKERS.names())}")
            made = TRACKERS.load(name)
            try:
                trackers[name] = made(replace(told, folder=told.folder / name / told.name))
            except TrainError:
                raise
            except Exception as error:
                raise TrainError(f"track: {name} cannot begin: {_first_line(error)}", hint="Take it out") from error
            stack.callback(_closed, name, trackers, progress)

        def listen(event: Event) -> None:
            values = _numbers(event)
            for name in list(trackers) if values else ():
                try:
                    trackers[name].scalars(getattr(event, "step", 0), values)
                except Exception as error:
                    del trackers[name]
                    _tell(name, error, progress)
            if progress is not None:
                progress(event)

        yield listen if trackers else progress


def _closed(name: str, trackers: dict[str, Tracker], progress: Progress | None) -> None:
    try:
        if name in trackers:
            trackers[name].close()
    except Exception as error:
        _tell(name, error, progress)


def _tell(name: str, error: Exception, progress: Progress | None) -> None:
    if progress is not None:
        progress(Checked("track", False, f"the tracker {name} failed and gets no more numbers: {_first_line(error)}"))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _numbers(event: Event) -> dict[str, float]:
    if isinstance(event, StepDone):
        names = ("loss", "learning_rate", "gradient_norm", "trained_tokens", "tokens_per_second", "memory")
        return {f"train/{name}": float(getattr(event, name)) for name in names}
    if isinstance(event, Validated):
        loss = {} if event.loss is None else {"validation/loss": event.loss}
        return {**loss, **{f"probe/{name}": float(value) for name, value in event.probe.items()}}
    return {}
