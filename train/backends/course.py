"""The course of a training that somebody else ran, in the form our own loop's journal has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from train.backends import Outcome

__all__ = ["Course"]


@dataclass(frozen=True, slots=True)
class Course:
    """What a backend told, and the validation loss that was measured on what it wrote.

    Attributes:
        outcome: From the backend.
        history: Its entries, and the validations.
        validation_loss: Of the model it wrote; None without a validation split.
        ended: None: only our own loop is watched.
        kept_step: None, likewise.
    """

    outcome: Outcome
    history: list[dict[str, Any]] = field(default_factory=list)
    validation_loss: float | None = None
    ended: tuple[int, str] | None = None
    kept_step: int | None = None

    @property
    def seconds(self) -> float:
        """Time spent training."""
        return self.outcome.seconds

    @property
    def trained_tokens(self) -> int:
        """Tokens trained; 0 where it was not told."""
        return self.outcome.trained_tokens

    @property
    def tokens(self) -> int:
        """All tokens; 0 where it was not told."""
        return self.outcome.tokens

    def mean_loss(self, *, after: int) -> float | None:
        """Mean of the losses after a step, weighted where weights were told; None where there are none."""
        entries = [entry for entry in self.outcome.history if "loss" in entry and entry["step"] > after]
        weight = sum(entry.get("weight", 1.0) for entry in entries)
        if not weight:
            return None
        return float(sum(entry["loss"] * entry.get("weight", 1.0) for entry in entries) / weight)
