"""Encoders (BERT and kin): told from causal models by their configuration, and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datakit.core.checkpoint import no_progress_bars
from datakit.core.errors import ModelError

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
    import torch
    from transformers import AutoModelForMaskedLM

    try:
        with no_progress_bars():
            model, loading = AutoModelForMaskedLM.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"not loadable as a masked language model ({error})", where=folder) from error
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(f"not a whole masked language model: '{missing[0]}' is missing", where=folder)
    return model.to(device).eval()
