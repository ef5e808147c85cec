"""Whether every trained tensor moves: a callback that looks after a few steps and names those that rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from train.callbacks import Moment
from train.checks import Finding
from train.preflight import fingerprint

__all__ = ["LOOKED_AFTER", "Movement", "moved"]

LOOKED_AFTER = 3  # a LoRA's A has no gradient before its B has moved
_NAMED = 3


class Movement:
    """Compares with the fingerprint from before the first step, once.

    Args:
        before: From :func:`train.preflight.fingerprint`.
        steps: Of the training; a shorter one is looked at after its end.
        tell: Receives the finding.
    """

    def __init__(self, before: Mapping[str, float], steps: int, tell: Callable[[Finding], None]) -> None:
        self._before, self._at, self._tell = before, min(LOOKED_AFTER, steps), tell

    def due(self, step: int) -> bool:
        """Whether this is the step."""
        return step == self._at

    def __call__(self, moment: Moment) -> None:
        """Looks."""
        self._tell(moved(self._before, moment.model, moment.step))


def moved(before: Mapping[str, float], model: Any, step: int) -> Finding:
    """Which trainable tensors are as they were."""
    after = fingerprint(model)
    resting = [name for name, value in before.items() if after[name] == value]
    if not resting:
        return Finding("movement", True, f"all {len(before)} trained tensors moved within {step} steps")
    named = ", ".join(resting[:_NAMED]) + (" ..." if len(resting) > _NAMED else "")
    return Finding(
        "movement",
        False,
        f"{len(resting)} of {len(before)} trained tensors did not move within {step} steps: {named}; "
        "they take no part in the loss, or the rate is too small for them",
    )
