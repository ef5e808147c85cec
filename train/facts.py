"""What is known of a training before its first step, in the form the manifest and the console take it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from train.events import Started
from train.manifest import Facts
from train.preflight import check_trainable

if TYPE_CHECKING:
    from train.config import Arm
    from train.data import Stream
    from train.plan import Plan

__all__ = ["facts_of", "started"]


def facts_of(plan: Plan, model: Any, stream: Stream) -> Facts:
    """Counts, digests, device and precision.

    Args:
        plan: What is trained.
        model: To count its parameters; it may be a shape without weights.
        stream: The rows of every step.

    Raises:
        TrainError: Nothing is trainable.
    """
    import torch

    arm, ready, source = plan.arm, plan.ready, plan.source
    trainable, total = check_trainable(model)
    return Facts(
        arm=arm,
        seed=source.seed,
        model=source.model,
        model_digest=source.model_digest,
        data_digest=source.data_digest,
        chat=source.chat,
        rows=ready.counts,
        steps=_steps(arm, stream),
        steps_per_epoch=stream.steps_per_epoch,
        trainable_parameters=trainable,
        total_parameters=total,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        precision="bfloat16" if plan.bfloat16 else "float32",
        max_length=ready.max_length,
        stop_tokens=ready.stop_tokens,
        base_bytes=sum(file.stat().st_size for file in ready.folder.glob("*.safetensors")),
    )


def started(facts: Facts) -> Started:
    """The event that says so."""
    parameters = (facts.trainable_parameters, facts.total_parameters)
    return Started(facts.rows, facts.steps, *parameters, facts.device, facts.precision)


def _steps(arm: Arm, stream: Stream) -> int:
    if isinstance(arm.steps, int):
        return arm.steps
    return max(1, math.ceil((arm.epochs or 0) * stream.steps_per_epoch))
