"""The weight of the penalty for leaving the start model, steered to a target (Ziegler et al., arXiv 1909.08593)."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Penalty"]

_GAIN = 0.1  # the paper's K_beta
_LARGEST = 0.2  # the paper clips the relative error here


class Penalty:
    """A proportional controller in log space.

        error  = clamp(KL / target - 1, -0.2, 0.2)
        weight = weight * (1 + 0.1 * error * answers / 64)

    The paper updates once per batch of its size; here the step is scaled by the answers seen.

    Args:
        weight: Per nat, at the start.
        target: Nats per answer; None keeps the weight.

    Attributes:
        weight: As it is now.
    """

    def __init__(self, weight: float, target: float | None) -> None:
        self.weight, self._target = weight, target

    def steer(self, kl: float, *, answers: int) -> None:
        """Moves the weight after a step.

        Args:
            kl: Mean nats per answer of the step.
            answers: Answers in the step.
        """
        if self._target is None:
            return
        error = min(max(kl / self._target - 1, -_LARGEST), _LARGEST)
        self.weight *= 1 + _GAIN * error * answers / 64

    def state(self) -> dict[str, float]:
        """What it remembers from step to step."""
        return {"weight": self.weight}

    def restore(self, state: Mapping[str, float]) -> None:
        """Takes back what :meth:`state` gave."""
        self.weight = state["weight"]
