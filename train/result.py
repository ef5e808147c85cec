"""What :func:`train.fit` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.manifest import Course, Facts

__all__ = ["TrainResult", "result_of"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained model and how it went.

    Attributes:
        folder: Where the weights or the adapter lie, with train.json.
        validation_loss: Mean nats per trained token after the last step; None without a validation split.
        train_loss: The same over the last epoch of training; None where a backend did not tell.
        steps: Optimizer steps.
        seconds: Of training, without loading, validation and saving.
        trained_tokens: Tokens trained.
        trainable_parameters: Parameters trained.
        total_parameters: All parameters, the adapter's included.
        history: Per logging step and per validation one entry, as in train.json.
    """

    folder: Path
    validation_loss: float | None
    train_loss: float | None
    steps: int
    seconds: float
    trained_tokens: int
    trainable_parameters: int
    total_parameters: int
    history: list[dict[str, Any]]


def result_of(output: Path, facts: Facts, course: Course) -> TrainResult:
    """The result of a training that has ended."""
    return TrainResult(
        folder=output,
        validation_loss=course.validation_loss,
        train_loss=course.mean_loss(after=facts.steps - facts.steps_per_epoch),
        steps=facts.steps if course.ended is None else course.ended[0],
        seconds=course.seconds,
        trained_tokens=course.trained_tokens,
        trainable_parameters=facts.trainable_parameters,
        total_parameters=facts.total_parameters,
        history=course.history,
    )
