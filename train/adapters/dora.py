"""DoRA (Liu et al., arXiv 2402.09353): m * (W + s B A) / ||W + s B A||, the norm taken for every output.

Length m and direction of each row of the weights are trained apart; m starts as the norms of W.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from train.adapters import Default
from train.adapters.beside import LORA_DEFAULTS, low_rank, save_low_rank

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Dora"]


class Dora:
    """LoRA with a length for every output; writes a PEFT adapter folder."""

    defaults: ClassVar[Mapping[str, Default]] = LORA_DEFAULTS
    trains_base: ClassVar[bool] = False

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and puts A (random), B (zero) and m (the norms) beside the targets."""
        return low_rank(model, arm, use_dora=True)

    def save(self, model: Any, folder: Path) -> None:
        """Writes adapter_model.safetensors and adapter_config.json."""
        save_low_rank(model, folder)
