"""Watching a training: a look every so many steps, a stop where something was lost, the best state kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from datakit.core.registry import suggest
from datakit.core.storage import storage_errors
from train.callbacks import Moment
from train.checkpoint import system_errors
from train.errors import TrainError
from train.parallel import ALONE, Group

if TYPE_CHECKING:
    from train.config import Watching

__all__ = ["Watch"]


class Watch:
    """Sees every validation; what the best state trained lies in a file beside the output until the block ends.

    The best state is the one of the lowest validation loss among those within all limits.

    Args:
        settings: What the arm says.
        output: Folder of the model to be.
        group: The processes that train together; the first one writes.

    Attributes:
        ended: Why the training ends here: what passed which limit; None while it goes on.
        best: Step of the best state so far; None where there is none.
    """

    def __init__(self, settings: Watching, output: Path, group: Group = ALONE) -> None:
        self._settings, self._group = settings, group
        self._folder, self._stem = output.parent, f".{output.name}.best-"
        self.ended: str | None = None
        self.best: int | None = None
        self._loss = math.inf

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._clear(kept=())

    def due(self, step: int) -> bool:
        """Whether the model is validated after this step."""
        return step % self._settings.every == 0

    def __call__(self, moment: Moment) -> None:
        """Nothing: it is told of every validation by itself (:meth:`look`)."""

    def look(self, model: Any, step: int, loss: float | None, measured: Mapping[str, float]) -> None:
        """Takes a validation in; the state before the first step is never the best.

        Raises:
            TrainError: A limit on something that the probe does not measure, or no validation loss to choose on.
        """
        passed = [self._over(name, limit, measured) for name, limit in self._settings.stop.items()]
        over = [text for text in passed if text]
        if self._settings.keep == "best" and loss is None:
            raise TrainError(
                "watch.keep best: there is no validation split to choose on", hint="Add one, or keep: last"
            )
        if step and over:
            self.ended = f"{' and '.join(over)} at step {step}"
        elif step and self._settings.keep == "best" and loss is not None and loss < self._loss:
            self._write(model, step)
            self._loss, self.best = loss, step

    def put_back(self, model: Any, step: int) -> int:
        """Gives the model the weights of the best state, where one is kept; returns the step of what it has now."""
        if self.best is None or self.best == step:
            return step
        from safetensors.torch import load_file

        self._group.settle(model)
        held = {} if self._group.rank else load_file(self._file(self.best))
        for name, value in _trained(model).items():
            self._group.put(value, held.get(name))
        return self.best

    def state(self) -> Mapping[str, Any]:
        """For a training that goes on."""
        return {"best": self.best, "loss": None if self.best is None else self._loss, "ended": self.ended}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on; a best state whose file is gone is forgotten."""
        self.ended = state["ended"]
        there = state["best"] is not None and self._file(state["best"]).is_file()
        if self._group.agree(there):
            self.best, self._loss = state["best"], state["loss"]

    def _over(self, name: str, limit: float, measured: Mapping[str, float]) -> str | None:
        if name not in measured:
            raise TrainError(f"watch.stop: the probe does not measure '{name}'", hint=suggest(name, sorted(measured)))
        value = measured[name]
        return f"{name} {value:.4g} is over {limit:g}" if value > limit else None

    def _write(self, model: Any, step: int) -> None:
        from safetensors.torch import save_file

        held = self._group.gather(model)
        if self._group.rank:
            return
        target = self._file(step)
        with storage_errors(target), system_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: value.detach().contiguous().cpu() for name, value in held.items()}, target)
        # The one before stays: a training that goes on from an earlier state may still need it.
        self._clear(kept=(step, self.best))

    def _file(self, step: int) -> Path:
        return self._folder / f"{self._stem}{step:06}.safetensors"

    def _clear(self, *, kept: tuple[int | None, ...]) -> None:
        if self._group.rank:
            return
        keep = {self._file(step) for step in kept if step is not None}
        for file in self._folder.glob(f"{self._stem}*.safetensors"):
            if file not in keep:
                file.unlink(missing_ok=True)


def _trained(model: Any) -> dict[str, Any]:
    return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
