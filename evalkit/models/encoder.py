"""Encoders (BERT and kin): told from causal models by their configuration, and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datakit.core.checkpoint import load_model

__all__ = ["is_masked", "load_masked"]


def is_masked(folder: Path) -> bool:
    """Whether a folder's config.json says that it holds a masked language model."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return any(name.endswith("ForMaskedLM") for name in config.get("architectures") or ())


def load_masked(folder: Path, *, dtype: str, device: str) -> Any:
    """The masked language model in a folder, in evaluation mode.

    Raises:
        ModelError: It cannot be loaded, or weights are missing.
    """
    return load_model(folder, dtype=dtype, device=device, architecture="masked")
