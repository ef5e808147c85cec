"""Low-rank adaptation (Hu et al., arXiv 2106.09685) through PEFT: W + alpha/rank * B A, only A and B are trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from train.adapters import Default
from train.adapters.targets import target_modules
from train.errors import TrainError

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Lora"]


class Lora:
    """LoRA; writes a PEFT adapter folder."""

    defaults: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(2e-4, "about ten times the best rate of full fine-tuning"),
        "rank": Default(16, "enough for a new task; quality changes little from 8 to 64"),
        "alpha": Default(32.0, "twice the rank"),
        "dropout": Default(0.0, "a few epochs do not overfit the adapter"),
        "targets": Default("all-linear", "attention layers alone fall behind at equal size"),
    }
    trains_base: ClassVar[bool] = False

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and puts A (random) and B (zero) beside the targets.

        Raises:
            TrainError: A target is not a module of the model.
        """
        from datakit.core.require import require

        peft = require("peft", extra="train")
        config = peft.LoraConfig(
            r=arm.rank,
            lora_alpha=arm.alpha,
            lora_dropout=arm.dropout,
            target_modules=target_modules(model, arm.targets),
            task_type="CAUSAL_LM" if hasattr(model, "prepare_inputs_for_generation") else None,  # none for an encoder
        )
        try:
            with warnings.catch_warnings():
                # PEFT 0.21 asks a model of transformers 5.23 for a name that is deprecated there.
                warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
                return peft.get_peft_model(model, config)
        except ValueError as error:
            known = sorted({name.rpartition(".")[2] for name, part in model.named_modules() if _is_linear(part)})
            raise TrainError(
                f"adapter lora: targets '{arm.targets}' do not fit this model ({str(error).split('. ')[0]})",
                hint=f"Give all-linear or some of: {', '.join(known)}",
            ) from error

    def save(self, model: Any, folder: Path) -> None:
        """Writes adapter_model.safetensors and adapter_config.json.

        Raises:
            TrainError: B is still zero everywhere: the adapter would do nothing.
        """
        matrices = [value for name, value in model.named_parameters() if "lora_B" in name]
        if not any(bool(value.detach().any()) for value in matrices):
            raise TrainError(
                "the adapter learnt nothing: every lora_B is zero", hint="Raise the learning rate or steps"
            )
        model.save_pretrained(folder)


def _is_linear(module: Any) -> bool:
    return type(module).__name__ in ("Linear", "Conv1D")
