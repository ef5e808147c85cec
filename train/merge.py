"""An adapter folded into its base: a whole model folder, as a further training needs it."""

from __future__ import annotations

import shutil
from pathlib import Path

from datakit.core.adapters import PEFT_CONFIG, lay_over
from datakit.core.checkpoint import load_model, no_progress_bars, stored_dtype
from datakit.core.require import require
from datakit.core.storage import atomic_directory, read_json
from train.checkpoint import TOKENIZER_FILES
from train.errors import TrainError

__all__ = ["can_merge", "merge_adapter"]


#: Tuners of PEFT that leave the weights alone.
_VIRTUAL = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT", "CARTRIDGE")


def can_merge(adapter: Path) -> bool:
    """Whether the adapter changes weights, so that it can be folded into them."""
    config = adapter / PEFT_CONFIG
    return config.is_file() and read_json(config).get("peft_type") not in _VIRTUAL


def merge_adapter(base: Path, adapter: Path, output: Path) -> Path:
    """Writes ``base`` with ``adapter`` added to its weights; the sum is made in float32 and saved as the base is.

    Args:
        base: Model folder the adapter was trained over.
        adapter: PEFT folder.
        output: Appears whole or not at all; an earlier one is replaced.

    Raises:
        TrainError: The adapter does not fit, or is of a kind that cannot be added to weights.
    """
    torch = require("torch", extra="train")
    if not can_merge(adapter):
        raise TrainError(
            "the adapter works on hidden states or virtual tokens, so it cannot be added to its base's weights",
            where=adapter,
            hint="Use it as an adapter over its base",
        )
    model = load_model(base, dtype=torch.float32)
    try:
        merged = lay_over(model, adapter).merge_and_unload()
    except (ValueError, RuntimeError, KeyError, AttributeError) as error:
        line = " ".join(str(error).split())[:200]
        raise TrainError(f"the adapter cannot be added to its base: {line}", where=adapter) from error
    with atomic_directory(output) as folder, no_progress_bars():
        merged.to(getattr(torch, stored_dtype(base))).save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        if (adapter / "train.json").is_file():
            shutil.copyfile(adapter / "train.json", folder / "train.json")
        for file in folder.glob("*.safetensors"):
            shutil.copymode(folder / "config.json", file)
    return output
