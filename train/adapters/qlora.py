"""QLoRA (Dettmers et al., arXiv 2305.14314): LoRA over a base in 4 bits (NF4, its scales quantised too)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from datakit.core.checkpoint import load_model
from train.adapters import Default
from train.adapters.beside import LORA_DEFAULTS, low_rank, save_low_rank
from train.errors import TrainError

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Qlora"]


class Qlora:
    """LoRA over a frozen base of 4 bits; writes a PEFT adapter folder, which fits the base in any data type."""

    defaults: ClassVar[Mapping[str, Default]] = LORA_DEFAULTS
    trains_base: ClassVar[bool] = False

    def load(self, folder: Path, dtype: Any) -> Any:
        """The base in 4 bits; computing is done in ``dtype``.

        Raises:
            TrainError: bitsandbytes, which quantises, is not there or does not run here.
        """
        import transformers

        try:
            importlib.import_module("bitsandbytes")
        except (ImportError, OSError, RuntimeError) as error:
            raise TrainError(
                f"adapter qlora needs bitsandbytes, which does not run here ({' '.join(str(error).split())[:120]})",
                hint="pip install bitsandbytes, or take adapter lora",
            ) from error
        config = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
        model = load_model(folder, dtype=dtype, quantization=config)
        for part in model.modules():
            # On some CPUs bitsandbytes (0.50) packs a weight anew in its first pass in evaluation mode, for a product
            # without a gradient: the layers before it would silently stop being trained.
            if hasattr(part, "support_avx512bf16_for_cpu"):
                part.support_avx512bf16_for_cpu = False
        return model

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and puts A (random) and B (zero) beside the targets."""
        return low_rank(model, arm)

    def save(self, model: Any, folder: Path) -> None:
        """Writes adapter_model.safetensors and adapter_config.json."""
        save_low_rank(model, folder)
