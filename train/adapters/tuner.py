"""Any tuner of PEFT by name: ``adapter: peft:ia3``, with what its configuration takes under ``options``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from datakit.core.registry import suggest
from datakit.core.require import require
from train.adapters import Default
from train.adapters.beside import wrap
from train.errors import TrainError

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Tuner"]

#: Set by what is trained, not by the user.
_OURS = {"base_model_name_or_path", "inference_mode", "peft_type", "revision", "task_type", "peft_version"}


class Tuner:
    """One kind of tuner; writes a PEFT adapter folder.

    Args:
        name: As PEFT calls it, in small letters: ``ia3``, ``vera``, ``loha``, ``prompt_tuning``.
    """

    defaults: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(1e-3, "tuners with few parameters want more than LoRA"),
    }
    options: ClassVar[None] = None
    trains_base: ClassVar[bool] = False
    float32: ClassVar[bool] = True

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and puts the tuner beside it.

        Raises:
            TrainError: No such tuner, or an option that it does not have.
        """
        peft = require("peft", extra="train")
        kinds = {kind.value.lower(): config for kind, config in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        if self.name not in kinds:
            raise TrainError(f"adapter: PEFT has no tuner '{self.name}'", hint=suggest(self.name, list(kinds)))
        kind = kinds[self.name]
        known = sorted({field.name for field in dataclasses.fields(kind) if field.init} - _OURS)
        for option in arm.options:
            if option not in known:
                raise TrainError(f"options: {kind.__name__} has no '{option}'", hint=suggest(option, known))
        try:
            config = kind(**arm.options)
        except (ValueError, TypeError) as error:
            raise TrainError(f"options of adapter {arm.adapter}: {' '.join(str(error).split())[:200]}") from error
        tuned = wrap(model, config, arm)
        if getattr(config, "is_prompt_learning", False):
            _hide_virtual_tokens(model, config.num_virtual_tokens)
        return tuned

    def save(self, model: Any, folder: Path) -> None:
        """Writes adapter_model.safetensors and adapter_config.json."""
        model.save_pretrained(folder)


def _hide_virtual_tokens(model: Any, count: int) -> None:
    """Cuts what a tuner puts in front off the last hidden states: a row's places are those of its own tokens.

    PEFT hands such rows over as embeddings; without them (prefix tuning, or the tuner switched off) nothing is cut.
    """

    def cut(_module: Any, _args: Any, kwargs: Mapping[str, Any], output: Any) -> Any:
        if kwargs.get("inputs_embeds") is not None:
            output.last_hidden_state = output.last_hidden_state[:, count:]
        return output

    model.base_model.register_forward_hook(cut, with_kwargs=True)
