"""An adapter folded into its base: a whole model folder, as a further training needs it."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

from datakit.core.checkpoint import load_model, no_progress_bars, stored_dtype
from datakit.core.require import require
from datakit.core.storage import atomic_directory
from train.checkpoint import TOKENIZER_FILES
from train.errors import TrainError

__all__ = ["merge_adapter"]


def merge_adapter(base: Path, adapter: Path, output: Path) -> Path:
    """Writes ``base`` with ``adapter`` added to its weights; the sum is made in float32 and saved as the base is.

    Args:
        base: Model folder the adapter was trained over.
        adapter: PEFT folder.
        output: Appears whole or not at all; an earlier one is replaced.

    Raises:
        TrainError: The adapter does not fit, or is of a kind that cannot be added to weights.
    """
    torch, peft = require("torch", extra="train"), require("peft", extra="train")
    model = load_model(base, dtype=torch.float32)
    try:
        with warnings.catch_warnings():
            # PEFT 0.21 asks a model of transformers 5.23 for a name that is deprecated there.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            tuned = peft.PeftModel.from_pretrained(model, str(adapter))
        merged = tuned.merge_and_unload()
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
