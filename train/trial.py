"""A few real steps of a training, to see what the process takes for them.

Nothing foretells the peak of a process like its own steps: how a heap falls to pieces hangs on every block of every
library. So where a rough count says that a training surely fits, it is tried; the model is used up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from train.loop import run_steps
from train.objectives import Referring
from train.process import highest_resident

if TYPE_CHECKING:
    from train.data import Stream
    from train.loop import Training

__all__ = ["highest_of_steps"]


@dataclass(frozen=True, slots=True)
class _Few:
    """So many steps and no more, of an epoch that does not end."""

    steps: Sequence[Sequence[Any]]

    @property
    def steps_per_epoch(self) -> int:
        return len(self.steps) + 1

    def after(self, step: int) -> Iterator[Sequence[Any]]:
        return iter(self.steps[step:])


def highest_of_steps(training: Training, steps: Sequence[Sequence[Any]]) -> int | None:
    """Most bytes of the process that lay in memory by the end of these steps; None where the system does not tell.

    From when it was last told to forget: what was looked at before the first step may have taken more than any step.

    Args:
        training: On the CPU; its weights are moved.
        steps: The rows of each.

    Raises:
        TrainError: What the training itself would raise, NaN for one.
    """
    model, objective = training.model, training.objective
    if isinstance(objective, Referring):
        model.eval()
        size = training.arm.batch_size
        steps = [objective.refer(model, rows, batch_size=size, pad=training.pad) for rows in steps]
        model.train()
    run_steps(replace(training, stream=cast("Stream", _Few(steps)), steps=len(steps)))
    return highest_resident() or None
