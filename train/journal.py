"""What a training run writes down as it goes: losses, tokens, time; and the one place where a NaN is noticed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from train.errors import Diverged
from train.events import Event, Flat, StepDone, Validated, Watched
from train.stopwatch import Stopwatch
from train.usage import memory_used

if TYPE_CHECKING:
    import torch

    from train.objectives import Sample

__all__ = ["Journal"]

_FLAT_AFTER, _FLAT_ENTRIES = 0.3, 12  # share of the steps, and losses that have to be known, to say that none fell


class Journal(Stopwatch):
    """Collects a run's history and reports events.

    Args:
        steps: Optimizer steps to come.
        report: Receives StepDone, Flat, Validated and Watched.

    Attributes:
        history: One entry per logging step (step, loss, learning_rate, gradient_norm, trained_tokens, weight) and per
            validation (step, validation_loss, and what the probe measured).
        trained_tokens: Tokens trained so far.
        tokens: All tokens that went through the model so far, without padding.
        ended: Of a training that a limit ended: the step, and why.
        kept_step: Of the state that was kept, where it is not the last.
    """

    def __init__(self, steps: int, report: Callable[[Event], None]) -> None:
        super().__init__()
        self.history: list[dict[str, Any]] = []
        self.trained_tokens = 0
        self.tokens = 0
        self.ended: tuple[int, str] | None = None
        self.kept_step: int | None = None
        self._steps, self._report = steps, report
        self._nll: torch.Tensor | float = 0.0
        self._since, self._weight = 0, 0.0
        self._looked = False

    def state(self) -> dict[str, Any]:
        """All of it, as JSON takes it; at a logging step, so that no loss is waiting to be looked at."""
        return {
            "history": self.history,
            "trained_tokens": self.trained_tokens,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` gave."""
        self.history = list(state["history"])
        self.trained_tokens, self.tokens = state["trained_tokens"], state["tokens"]
        self._seconds = state["seconds"]

    def count(self, rows: Sequence[Sample], nll: torch.Tensor) -> None:
        """Adds one step's rows and their summed loss, without looking at it: a GPU would have to wait."""
        trained = sum(row.trained_tokens for row in rows)
        self._weight += sum(row.weight for row in rows)
        self.trained_tokens += trained
        self.tokens += sum(len(row) for row in rows)
        self._since += trained
        self._nll = self._nll + nll

    def log(self, step: int, *, learning_rate: float, norm: torch.Tensor) -> None:
        """Writes down the mean loss since the last call.

        Raises:
            Diverged: Loss or gradient is NaN or infinite.
        """
        loss, gradient = float(self._nll) / self._weight, float(norm)
        for what, value in (("loss", loss), ("gradient", gradient)):
            self._finite(what, value, step, learning_rate)
        self.history.append(
            {
                "step": step,
                "loss": loss,
                "learning_rate": learning_rate,
                "gradient_norm": gradient,
                "trained_tokens": self._since,
                "weight": self._weight,
            }
        )
        counts = (self.trained_tokens, self.tokens, self.seconds)
        pace = (self.tokens / max(self.seconds, 1e-9), memory_used(norm.device), self._left(step))
        self._report(StepDone(step, self._steps, loss, learning_rate, gradient, *counts, *pace))
        self._look_at_course(step)
        self._nll, self._since, self._weight = 0.0, 0, 0.0

    def validated(self, step: int, loss: float | None, probe: Mapping[str, float]) -> None:
        """Writes down a validation.

        Raises:
            Diverged: The validation loss is NaN or infinite.
        """
        if loss is not None:
            rates = [entry["learning_rate"] for entry in self.history if "learning_rate" in entry]
            self._finite("validation loss", loss, step, rates[-1] if rates else None)
        if loss is not None or probe:
            self.history.append({"step": step, "validation_loss": loss, **probe})
        self._report(Validated(step, loss, dict(probe)))

    def kept(self, step: int, *, done: int, why: str | None) -> None:
        """Writes down how a watched training ended.

        Args:
            step: Of the state that is kept.
            done: Steps that were trained.
            why: Which limit was passed; None where it went to its end.
        """
        self.ended = None if why is None else (done, why)
        self.kept_step = None if step == done else step
        if why is not None or self.kept_step is not None:
            self._report(Watched(done, self._steps, step, why))

    @property
    def validation_loss(self) -> float | None:
        """Of the state that is kept; None without a validation split."""
        found = [entry for entry in self.history if "validation_loss" in entry]
        kept = [entry for entry in found if entry["step"] == self.kept_step] or found
        return kept[-1]["validation_loss"] if kept else None

    def mean_loss(self, *, after: int) -> float:
        """Mean loss over the logged steps after one, in the objective's unit: nats per trained token or per pair.

        Of a training that ended early, over as many steps before its end.
        """
        if self.ended is not None:
            after -= self._steps - self.ended[0]
        entries = [entry for entry in self.history if "loss" in entry and entry["step"] > after]
        weight = sum(entry["weight"] for entry in entries)
        return float(sum(entry["loss"] * entry["weight"] for entry in entries) / weight)

    def _left(self, step: int) -> float:
        return self.seconds / step * (self._steps - step)

    def _look_at_course(self, step: int) -> None:
        """Says once, after a share of the steps, that the loss has not fallen."""
        if self._looked or step < _FLAT_AFTER * self._steps:
            return
        losses = [entry["loss"] for entry in self.history if "loss" in entry]
        self._looked = True
        third = len(losses) // 3
        if third < _FLAT_ENTRIES // 3:
            return
        first, last = sum(losses[:third]) / third, sum(losses[-third:]) / third
        if last >= first:
            self._report(Flat(step, first, last))

    def _finite(self, what: str, value: float, step: int, learning_rate: float | None) -> None:
        if math.isfinite(value):
            return
        if learning_rate is None:
            raise Diverged(f"the {what} is {value} before the first step", hint="The model's weights are broken")
        raise Diverged(
            f"the {what} became {value} at step {step} of {self._steps} (learning rate {learning_rate:g})",
            hint="Lower learning_rate, lengthen warmup or clip the gradient; no model was written",
        )
