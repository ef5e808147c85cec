"""LoReFT (Wu et al., arXiv 2404.03592): h + R^T (W h + b - R h) at the ends of the prompt, after every block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from train.adapters import Default
from train.adapters.interventions import REFT_DEFAULTS, REFT_OPTIONS, intervene, write_interventions

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["LowRankReft"]


class LowRankReft:
    """LoReFT; writes a folder that :mod:`datakit.core.reft` reads."""

    defaults: ClassVar[Mapping[str, Default]] = REFT_DEFAULTS
    options: ClassVar[Mapping[str, Default]] = REFT_OPTIONS
    trains_base: ClassVar[bool] = False

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and hangs the interventions into it."""
        return intervene(model, arm, "loreft")

    def save(self, model: Any, folder: Path) -> None:
        """Writes reft.safetensors and reft_config.json."""
        write_interventions(model, folder)
