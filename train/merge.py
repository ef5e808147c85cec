"""An adapter folded into its base: a whole model folder, as a further training needs it, or as it is shipped.

The sum is made in float32, and the sum has to answer as base and adapter together before anything is written.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from datakit.core.adapters import PEFT_CONFIG, lay_over
from datakit.core.checkpoint import load_model, no_progress_bars, stored_dtype
from datakit.core.require import require
from datakit.core.storage import atomic_directory, read_json
from train.checkpoint import TOKENIZER_FILES, set_stop_tokens
from train.errors import TrainError
from train.preflight import check_stops

__all__ = ["can_merge", "check_merged", "merge_adapter", "merge_measured", "probe_logits"]

#: Tuners of PEFT that leave the weights alone.
_VIRTUAL = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT", "CARTRIDGE")
#: Difference that rounding in float32 explains, of the largest logit.
_ROUNDING = 1e-3


def can_merge(adapter: Path) -> bool:
    """Whether the adapter changes weights, so that it can be folded into them."""
    config = adapter / PEFT_CONFIG
    return config.is_file() and json.loads(config.read_bytes()).get("peft_type") not in _VIRTUAL


def merge_adapter(base: Path, adapter: Path, output: Path) -> Path:
    """Writes ``base`` with ``adapter`` added to its weights; the sum is made in float32 and saved as the base is.

    Args:
        base: Model folder the adapter was trained over.
        adapter: PEFT folder.
        output: Appears whole or not at all; an earlier one is replaced.

    Raises:
        TrainError: The adapter does not fit, cannot be added to weights, or the sum answers otherwise.
    """
    merge_measured(base, adapter, output)
    return output


def merge_measured(base: Path, adapter: Path, output: Path) -> float:
    """:func:`merge_adapter`; returns the largest difference of a logit between the sum and both together."""
    torch = require("torch", extra="train")
    merged, difference = _sum(base, adapter)
    facts = read_json(adapter / "train.json") if (adapter / "train.json").is_file() else {}
    stops = [int(id) for id in facts.get("stop_tokens") or ()]
    set_stop_tokens(merged, stops)
    check_stops(merged.generation_config, stops)
    with atomic_directory(output) as folder, no_progress_bars():
        merged.to(getattr(torch, stored_dtype(base))).save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        if facts:
            shutil.copyfile(adapter / "train.json", folder / "train.json")
        for file in folder.glob("*.safetensors"):
            shutil.copymode(folder / "config.json", file)
    return difference


def check_merged(base: Path, adapter: Path) -> float:
    """Folds the adapter in memory and compares; returns the largest difference of a logit.

    Raises:
        TrainError: As :func:`merge_adapter`.
    """
    return _sum(base, adapter)[1]


def _sum(base: Path, adapter: Path) -> tuple[Any, float]:
    torch = require("torch", extra="train")
    if not can_merge(adapter):
        raise TrainError(
            "the adapter works on hidden states or virtual tokens, so it cannot be added to its base's weights",
            where=adapter,
            hint="Use it over its base, as it is",
        )
    model = load_model(base, dtype=torch.float32)
    try:
        tuned = lay_over(model, adapter)
        together = probe_logits(tuned)
        merged = tuned.merge_and_unload()
    except (ValueError, RuntimeError, KeyError, AttributeError, NotImplementedError) as error:
        line = " ".join(str(error).split())[:200]
        raise TrainError(f"the adapter cannot be added to its base: {line}", where=adapter) from error
    difference = float((probe_logits(merged) - together).abs().max())
    if not difference <= _ROUNDING * max(1.0, float(together.abs().max())):
        raise TrainError(
            f"folded into its base the adapter answers otherwise than over it (logits differ by {difference:.3g})",
            where=adapter,
            hint="Use it as an adapter over its base",
        )
    return merged, difference


def probe_logits(model: Any) -> Any:
    """Logits of a fixed sequence of tokens from all over the vocabulary, float32."""
    import torch

    size = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(1, 65, device=model.device).mul_(7919).remainder_(size)[None]
    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False).logits.float()
