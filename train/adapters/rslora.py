"""Rank-stabilised LoRA (Kalajdzievski, arXiv 2312.03732): W + alpha/sqrt(rank) * B A.

With LoRA's alpha/rank the update gets smaller as the rank grows, so that a high rank learns no more than a low one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from train.adapters import Default
from train.adapters.beside import LORA_DEFAULTS, low_rank, save_low_rank

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["RsLora"]


class RsLora:
    """LoRA whose scale does not shrink with the rank; writes a PEFT adapter folder."""

    defaults: ClassVar[Mapping[str, Default]] = {
        **LORA_DEFAULTS,
        "alpha": Default(8.0, "at rank 16 the scale of LoRA's default, and the same alpha at any rank"),
    }
    trains_base: ClassVar[bool] = False

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and puts A (random) and B (zero) beside the targets."""
        return low_rank(model, arm, use_rslora=True)

    def save(self, model: Any, folder: Path) -> None:
        """Writes adapter_model.safetensors and adapter_config.json."""
        save_low_rank(model, folder)
