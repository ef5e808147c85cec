"""Orthogonal subspace fine-tuning (Nayak et al., arXiv 2504.07097) through PEFT.

A weight is cut by its singular values, W = U S V: the largest directions, which hold what the model knows, are frozen;
the others are trained, and stay orthogonal to the frozen ones. PEFT makes the gradients so; Adam divides them entry by
entry, after which they no longer are (a seventh of an update lay in frozen directions), so the trained directions
themselves are put back before the next pass: U_low <- U_low - U_high U_high^T U_low, and V likewise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from datakit.core.require import require
from train.adapters import Default
from train.adapters.beside import wrap

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Osf"]


class Osf:
    """OSF; writes a PEFT adapter folder, about as large as a full copy where half the directions are trained."""

    defaults: ClassVar[Mapping[str, Default]] = {
        "learning_rate": Default(5e-5, "between full fine-tuning and LoRA, as in PEFT's own comparison"),
        "targets": Default("all-linear", "every weight matrix but embeddings and head"),
    }
    options: ClassVar[Mapping[str, Default]] = {
        "frozen": Default(0.5, "share of each matrix's directions that stay as they are; PEFT's default"),
    }
    trains_base: ClassVar[bool] = False
    float32: ClassVar[bool] = True  # the gradient is multiplied with the frozen directions

    def apply(self, model: Any, arm: Arm) -> Any:
        """Freezes the model and puts the small directions of every target beside it."""
        peft = require("peft", extra="train")
        frozen = arm.options.get("frozen", self.options["frozen"].value)
        tuned = wrap(model, peft.OSFConfig(effective_rank=frozen, target_modules=arm.targets), arm)
        tuned.register_forward_pre_hook(_Projection(tuned))
        return tuned

    def save(self, model: Any, folder: Path) -> None:
        """Writes adapter_model.safetensors and adapter_config.json."""
        _Projection(model)(model, ())
        model.save_pretrained(folder)


class _Projection:
    """Puts trained directions back where an optimizer step moved them; a tensor that nobody changed is left alone."""

    def __init__(self, model: Any) -> None:
        from peft.tuners.osf.layer import OSFLayer

        self._layers = [part for part in model.modules() if isinstance(part, OSFLayer)]
        self._seen: dict[int, int] = {}

    def __call__(self, _model: Any, _args: Any) -> None:
        import torch

        with torch.no_grad():
            for layer in self._layers:
                for name, directions in layer.osf_svd_params.items():
                    for key in ("U", "V"):
                        self._project(layer, name, key, directions[f"{key}_low"])

    def _project(self, layer: Any, name: str, key: str, low: Any) -> None:
        if self._seen.get(id(low)) == low._version:
            return
        # Columns of U, rows of V. Where all directions together are a square matrix, PEFT keeps the small ones alone,
        # whose span is what is orthogonal to the large ones.
        columns = low if key == "U" else low.mT
        high = getattr(layer, f"_osf_{key}_high")
        if name in high:
            frozen = high[name] if key == "U" else high[name].mT
            kept = columns - frozen @ (frozen.mT @ columns)
        else:
            start = getattr(layer, f"_osf_{key}_low_init")[name]
            start = start if key == "U" else start.mT
            kept = start @ (start.mT @ columns)
        low.copy_(kept if key == "U" else kept.mT)
        self._seen[id(low)] = low._version
