"""What a training by PPO writes down as it goes: its steps, its measurements, tokens and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from train.ppo.learner import Step
from train.stopwatch import Stopwatch

__all__ = ["History"]


class History(Stopwatch):
    """Collects entries; its clock stands still while something else than training happens.

    Attributes:
        entries: One per step, and one per measurement on the validation prompts.
        tokens: Tokens of all answers so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []
        self.tokens = 0

    def state(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {"entries": self.entries, "tokens": self.tokens, "seconds": self.seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` gave."""
        self.entries, self.tokens = list(state["entries"]), state["tokens"]
        self._seconds = state["seconds"]

    def add(self, step: int, found: Step, rate: float) -> None:
        """A step and the policy's rate in it."""
        self.tokens += found.answer_tokens
        self.entries.append(
            {
                "step": step,
                "loss": found.loss,
                "learning_rate": rate,
                "gradient_norm": found.norm,
                "reward": found.reward,
                "kl": found.kl,
                "kl_weight": found.kl_weight,
                "clipped": found.clipped,
                "complete": found.complete,
                "trained_tokens": found.answer_tokens,
            }
        )

    def measured(self, step: int, found: Mapping[str, float]) -> None:
        """Reward and KL of the validation prompts."""
        self.entries.append({"step": step, **{f"validation_{name}": value for name, value in found.items()}})
