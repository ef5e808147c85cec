"""Whether every trained tensor moves: a callback that looks after a few steps and names those that rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
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
        self._found: Finding | None = None

    def due(self, step: int) -> bool:
        """Whether this is the step."""
        return step == self._at

    def __call__(self, moment: Moment) -> None:
        """Looks."""
        self._found = moved(self._before, moment.model, moment.step)
        self._tell(self._found)

    def state(self) -> Mapping[str, Any]:
        """What was found, for a training that goes on later."""
        return {} if self._found is None else asdict(self._found)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Tells again what was found before."""
        if state:
            self._found = Finding(**state)
            self._tell(self._found)


def moved(before: Mapping[str, float], model: Any, step: int) -> Finding:
    """Which trainable tensors are as they were."""
    after = fingerprint(model)
    resting = [name for name, value in before.items() if after[name] == value]
    waiting = [name for name in resting if step == 1 and "lora_A" in name]  # no gradient before its B has moved
    resting = [name for name in resting if name not in waiting]
    within = "1 step" if step == 1 else f"{step} steps"
    looked = f"all {len(before)}" if not waiting else f"{len(before) - len(waiting)} of {len(before)}"
    if not resting:
        return Finding("movement", True, f"{looked} trained tensors moved within {within}")
    named = ", ".join(resting[:_NAMED]) + (" ..." if len(resting) > _NAMED else "")
    return Finding(
        "movement",
        False,
        f"{len(resting)} of {len(before)} trained tensors did not move within {within}: {named}; "
        "they take no part in the loss, or the rate is too small for them",
    )
