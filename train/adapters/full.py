"""Every weight is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from train.adapters import Default

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Full"]


class Full:
    """Full fine-tuning; writes a model folder of its own, in the data type of the model it came from."""

    defaults: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(1e-5, "usual for full fine-tuning of billions of parameters; higher forgets more"),
    }
    trains_base: ClassVar[bool] = True

    def apply(self, model: Any, arm: Arm) -> Any:
        """Makes every parameter trainable."""
        model.requires_grad_(True)
        return model

    def save(self, model: Any, folder: Path) -> None:
        """Writes model.safetensors, config.json and generation_config.json."""
        model.save_pretrained(folder)
