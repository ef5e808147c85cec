"""Low-rank adaptation (Hu et al., arXiv 2106.09685) through PEFT: W + alpha/rank * B A, only A and B are trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from train.adapters import Default
from train.adapters.beside import LORA_DEFAULTS, low_rank, save_low_rank

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Lora"]


class Lora:
    """LoRA; writes a PEFT adapter folder."""

    defaults: ClassVar[Mapping[str, Default]] = LORA_DEFAULTS
    trains_base: ClassVar[bool] = False

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and puts A (random) and B (zero) beside the targets."""
        return low_rank(model, arm)

    def save(self, model: Any, folder: Path) -> None:
        """Writes adapter_model.safetensors and adapter_config.json."""
        save_low_rank(model, folder)
