"""The course of the learning rate: a rise during the warmup, then constant, or linear or cosine towards 0."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["rate_factor", "warmup_steps"]


def warmup_steps(share: float, steps: int) -> int:
    """Steps of the warmup: the share of all steps, rounded up."""
    return math.ceil(share * steps)


def rate_factor(schedule: Literal["constant", "linear", "cosine"], step: int, *, steps: int, warmup: int) -> float:
    """What the peak learning rate is multiplied with.

    It is transformers' ``get_scheduler`` taken one step later, so that no step runs at rate 0: theirs spends the first
    step of a warmup on it.

    Args:
        schedule: ``constant``, ``linear`` or ``cosine`` (half a wave).
        step: From 0.
        steps: All steps.
        warmup: Steps before the peak.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return max(0.0, 1.0 - done)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * done)))
