"""A PEFT configuration laid over a model, with errors in our words; what LoRA and its relatives share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.adapters import quiet_peft
from datakit.core.require import require
from train.adapters import Default
from train.adapters.targets import target_modules
from train.errors import TrainError

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["LORA_DEFAULTS", "low_rank", "save_low_rank", "wrap"]

LORA_DEFAULTS: Mapping[str, Default] = {
    "learning_rate": Default(2e-4, "about ten times the best rate of full fine-tuning"),
    "rank": Default(16, "enough for a new task; quality changes little from 8 to 64"),
    "alpha": Default(32.0, "twice the rank"),
    "dropout": Default(0.0, "a few epochs do not overfit the adapter"),
    "targets": Default("all-linear", "attention layers alone fall behind at equal size"),
}


def low_rank(model: Any, arm: Arm, **settings: Any) -> Any:
    """Freezes the model and puts A (random) and B (zero) beside the targets.

    Args:
        model: A causal or masked language model.
        arm: Its rank, alpha, dropout and targets.
        settings: More for PEFT's LoraConfig.

    Raises:
        TrainError: A target is not a module of the model.
    """
    peft = require("peft", extra="train")
    _check_rank(model, arm)
    config = peft.LoraConfig(
        r=arm.rank,
        lora_alpha=arm.alpha,
        lora_dropout=arm.dropout,
        target_modules=target_modules(model, arm.targets),
        task_type=_task(model),
        **settings,
    )
    return wrap(model, config, arm)


def wrap(model: Any, config: Any, arm: Arm) -> Any:
    """PEFT's model of a configuration, its trained parameters in float32.

    Raises:
        TrainError: It does not fit the model.
    """
    peft = require("peft", extra="train")
    if config.task_type is None:
        config.task_type = _task(model)
    try:
        with quiet_peft():
            tuned = peft.get_peft_model(model, config)
    except (ValueError, TypeError, RuntimeError, KeyError, AttributeError, NotImplementedError) as error:
        why = " ".join(str(error).split())
        if arm.targets is not None:
            known = sorted({name.rpartition(".")[2] for name, part in model.named_modules() if _is_linear(part)})
            raise TrainError(
                f"adapter {arm.adapter}: targets '{arm.targets}' do not fit this model ({why.split('. ')[0]})",
                hint=f"Give all-linear or some of: {', '.join(known)}",
            ) from error
        raise TrainError(
            f"adapter {arm.adapter} does not fit this model with these options ({why[:200]})",
            hint=f"What {type(config).__name__} of PEFT takes goes into options",
        ) from error
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return tuned


def save_low_rank(model: Any, folder: Path) -> None:
    """Writes adapter_model.safetensors and adapter_config.json.

    Raises:
        TrainError: B is still zero everywhere: the adapter would do nothing.
    """
    matrices = [value for name, value in model.named_parameters() if "lora_B" in name]
    if not any(bool(value.detach().any()) for value in matrices):
        raise TrainError("the adapter learnt nothing: every lora_B is zero", hint="Raise the learning rate or steps")
    model.save_pretrained(folder)


def _check_rank(model: Any, arm: Arm) -> None:
    """A product of that rank is smaller than some matrix of the model."""
    largest = max((min(part.weight.shape) for _, part in model.named_modules() if _is_linear(part)), default=None)
    if largest is not None and (arm.rank or 0) > largest:
        raise TrainError(
            f"adapter {arm.adapter}: rank {arm.rank:,} is more than any matrix of the model has ({largest:,})",
            hint=f"16 is usual, and {largest:,} trains as much as adapter full",
        )


def _task(model: Any) -> str | None:
    return "CAUSAL_LM" if model.can_generate() else None


def _is_linear(module: Any) -> bool:
    return type(module).__name__ in ("Linear", "Conv1D")
