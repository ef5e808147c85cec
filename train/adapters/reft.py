"""LoReFT and DiReFT (Wu et al., arXiv 2404.03592): the residual stream is changed at the ends of the prompt.

LoReFT: h + R^T (W h + b - R h)        DiReFT: h + V^T (W h + b)        after every block
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from train.adapters import Default
from train.adapters.interventions import REFT_DEFAULTS, REFT_OPTIONS, intervene, write_interventions

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Reft", "direft", "loreft"]


class Reft:
    """One of the two; writes a folder that :mod:`datakit.core.reft` reads."""

    defaults: ClassVar[Mapping[str, Default]] = REFT_DEFAULTS
    options: ClassVar[Mapping[str, Default]] = REFT_OPTIONS
    trains_base: ClassVar[bool] = False

    def __init__(self, method: Literal["loreft", "direft"]) -> None:
        self._method = method

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and hangs the interventions into it."""
        return intervene(model, arm, self._method)

    def save(self, model: Any, folder: Path) -> None:
        """Writes reft.safetensors and reft_config.json."""
        write_interventions(model, folder)


def loreft() -> Reft:
    """LoReFT."""
    return Reft("loreft")


def direft() -> Reft:
    """DiReFT."""
    return Reft("direft")
