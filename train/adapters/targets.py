"""Names for groups of a model's modules: ``mlp`` is the linear layers of its blocks outside attention."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from train.errors import TrainError

__all__ = ["target_modules"]

_IN_A_BLOCK = re.compile(r"\.\d+\.")
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


def target_modules(model: Any, targets: str | Sequence[str] | None) -> str | list[str] | None:
    """What PEFT is told: names as they are, ``mlp`` as the full names of the layers.

    LoRA on the MLP alone forgets less than on all layers in some published runs (docs/retention.md).

    Raises:
        TrainError: ``mlp`` of a model whose blocks have no linear layer outside attention.
    """
    if targets != "mlp":
        return targets if targets is None or isinstance(targets, str) else list(targets)
    found = [
        name
        for name, part in model.named_modules()
        if type(part).__name__ in ("Linear", "Conv1D") and _IN_A_BLOCK.search(name) and not _ATTENTION.search(name)
    ]
    if not found:
        raise TrainError("targets mlp: the model's blocks have no linear layer outside attention")
    return found
