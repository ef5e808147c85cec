"""The model to train: loaded in the type it is trained in, grown where it has to, with its adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datakit.core.checkpoint import load_model
from train.checks.vocabulary import fit_vocabulary
from train.data import Stream
from train.objectives import Drawing, Objective, parts

if TYPE_CHECKING:
    from train.adapters import Adapter
    from train.checks import Finding
    from train.config import Arm
    from train.prepare import Prepared

__all__ = ["computes_in_bfloat16", "load_to_train", "stream_of"]


def load_to_train(
    arm: Arm,
    adapter: Adapter,
    objective: Objective,
    ready: Prepared,
    name: str,
    findings: list[Finding] | None = None,
    *,
    bfloat16: bool,
) -> Any:
    """The model to train, on its device."""
    import torch

    # What is trained stays float32: pure bfloat16 loses most small updates. A frozen base may be bfloat16.
    exact = adapter.trains_base or getattr(adapter, "float32", False)
    dtype = torch.bfloat16 if bfloat16 and not exact else torch.float32
    load = getattr(adapter, "load", None)
    if load is None:
        base = load_model(ready.folder, dtype=dtype, architecture=objective.architecture)
    else:
        base = load(ready.folder, dtype)
    base.name_or_path = name  # an adapter's config names the model as the user did, not a folder of the Hub's cache
    rows = [*ready.train.rows, *ready.validation.rows, *ready.replay.rows, *ready.general.rows]
    grow = arm.resize_vocabulary
    found = fit_vocabulary(base, ready.tokenizer, parts(rows), grow=grow, adapter=adapter)
    if findings is not None:
        findings.append(found)
    return adapter.apply(base, arm).to("cuda" if torch.cuda.is_available() else "cpu")


def computes_in_bfloat16(arm: Arm) -> bool:
    """Whether computing is done in bfloat16: where it is wanted, or on a GPU that has it."""
    import torch

    if arm.precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return arm.precision == "bfloat16"


def stream_of(arm: Arm, objective: Objective, ready: Prepared, seed: int) -> Stream:
    """The rows of every step."""
    return Stream(
        ready.train.rows,
        replay=ready.replay.rows,
        share=arm.replay.share if arm.replay else 0.0,
        rows_per_step=arm.batch_size * arm.accumulate,
        seed=seed,
        draw=objective.draw if isinstance(objective, Drawing) else None,
    )
