"""Intermediate states of a training: which steps are kept, and where they lie until the model's folder takes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from datakit.core.storage import atomic_directory
from train.callbacks import Moment
from train.config import Every

__all__ = ["CHECKPOINTS", "Keeper", "kept_steps"]

CHECKPOINTS = "checkpoints"


def kept_steps(wanted: int | Every | None, steps: int) -> tuple[int, ...]:
    """Steps whose weights are kept, rising; the last step is not among them, since the model itself holds it.

    Args:
        wanted: So many, evenly spaced; or every so many steps; or none.
        steps: Optimizer steps of the training.
    """
    if wanted is None:
        return ()
    if isinstance(wanted, Every):
        return tuple(range(wanted.every, steps, wanted.every))
    spaced = {round(steps * number / (wanted + 1)) for number in range(1, wanted + 1)}
    return tuple(sorted(step for step in spaced if 0 < step < steps))


class Keeper:
    """Saves the model at given steps in a folder beside the output, which goes when the block ends.

    Args:
        output: Folder of the model to be.
        steps: From :func:`kept_steps`.
        write: Writes a model's weights into an empty folder.
        whole: Gives the model in one piece; None in a process that does not write.
        writes: Whether this process does.
        done: Optimizer steps that a training which goes on has behind it; their states are kept.
        lasting: Whether they stay where the block ends with an error, because the training can go on.

    Attributes:
        steps: When it saves.
        folder: Holds ``step-000050`` and so on; not there before the first is saved.
    """

    def __init__(
        self,
        output: Path,
        steps: tuple[int, ...],
        write: Callable[[Any, Path], None],
        *,
        whole: Callable[[Any], Any | None] = lambda model: model,
        writes: bool = True,
        done: int = 0,
        lasting: Callable[[], bool] = lambda: False,
    ) -> None:
        self.steps = frozenset(steps)
        self.folder = output.with_name(f".{output.name}.{CHECKPOINTS}")
        self._write, self._whole, self._writes, self._done, self._lasting = write, whole, writes, done, lasting

    def __enter__(self) -> Keeper:
        self._clear(after=self._done)  # what a killed training left
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None or not self._lasting():
            self._clear()

    def due(self, step: int) -> bool:
        """Whether the state after this step is kept."""
        return step in self.steps

    def __call__(self, moment: Moment) -> None:
        """Saves the state after a step: a whole folder or nothing."""
        self.keep(moment.step, moment.model)

    def keep(self, step: int, model: Any) -> None:
        """Saves a model's state after a step."""
        if (whole := self._whole(model)) is None:
            return
        with atomic_directory(self.folder / f"step-{step:06}") as folder:
            self._write(whole, folder)

    def _clear(self, *, after: int = 0) -> None:
        if not self._writes:
            return
        if not after:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        kept = {f"step-{step:06}" for step in self.steps if step <= after}
        for entry in self.folder.iterdir() if self.folder.is_dir() else ():
            if entry.name not in kept:
                shutil.rmtree(entry, ignore_errors=True)
