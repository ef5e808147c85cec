"""Weights between a base and a model tuned from it (WiSE-FT; Wortsman et al., arXiv 2109.01903).

    weights = base + alpha (tuned - base)

alpha 0 is the base, 1 the tuned model. The change of a low-rank adapter is scale * B A: its B times alpha is the same.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datakit.core.adapters import is_adapter
from datakit.core.require import require
from datakit.core.storage import atomic_directory
from train.checkpoint import TOKENIZER_FILES
from train.errors import TrainError
from train.merge import merge_adapter

__all__ = ["interpolate_weights"]

_BESIDE = ("config.json", "generation_config.json", "train.json", "model.safetensors.index.json", *TOKENIZER_FILES)


def interpolate_weights(base: Path, tuned: Path, alpha: float, output: Path) -> Path:
    """Writes the model that lies ``alpha`` of the way from the base to the tuned one.

    A low-rank adapter stays an adapter over the base; of another adapter a whole model is written.

    Args:
        base: Model folder.
        tuned: Model or adapter folder.
        alpha: From 0 to 1; more is allowed.
        output: Appears whole or not at all; an earlier one is replaced.

    Raises:
        TrainError: The two do not have the same tensors, or an adapter cannot be added to weights.
    """
    require("safetensors", extra="train")
    config = tuned / "adapter_config.json"
    if not is_adapter(tuned):
        return _between(base, tuned, alpha, output)
    kind = json.loads(config.read_bytes()) if config.is_file() else {}
    if kind.get("peft_type") == "LORA" and not kind.get("use_dora") and not kind.get("modules_to_save"):
        return _scaled(tuned, alpha, output)
    with tempfile.TemporaryDirectory() as scratch:
        return _between(base, merge_adapter(base, tuned, Path(scratch) / "merged"), alpha, output)


def _scaled(adapter: Path, alpha: float, output: Path) -> Path:
    """The adapter with its B times alpha."""
    from safetensors.torch import load_file, save_file

    with atomic_directory(output) as folder:
        for name in ("adapter_config.json", "train.json", *TOKENIZER_FILES):
            if (adapter / name).is_file():
                shutil.copyfile(adapter / name, folder / name)
        for file in sorted(adapter.glob("*.safetensors")):
            held = load_file(file)
            scaled = {key: value * alpha if _is_b(key) else value for key, value in held.items()}
            save_file(scaled, folder / file.name, metadata={"format": "pt"})
            shutil.copymode(folder / "adapter_config.json", folder / file.name)
    return output


def _is_b(name: str) -> bool:
    return ".lora_B." in name or ".lora_embedding_B" in name


def _between(base: Path, tuned: Path, alpha: float, output: Path) -> Path:
    """Both models tensor by tensor, file by file; sums are made in float32 and stored as the tuned model is."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    places = {name: file for file in sorted(base.glob("*.safetensors")) for name in _names(file)}
    there = {name for file in tuned.glob("*.safetensors") for name in _names(file)}
    if odd := sorted(places.keys() ^ there):
        raise TrainError(f"base and tuned model do not have the same weights, '{odd[0]}' first", where=tuned)
    with atomic_directory(output) as folder:
        for name in _BESIDE:
            if (tuned / name).is_file():
                shutil.copyfile(tuned / name, folder / name)
        for file in sorted(tuned.glob("*.safetensors")):
            made: dict[str, Any] = {}
            with safe_open(file, framework="pt") as ours:
                for name in ours.keys():  # noqa: SIM118 - no mapping
                    with safe_open(places[name], framework="pt") as theirs:
                        start, end = theirs.get_tensor(name), ours.get_tensor(name)
                    if start.shape != end.shape:
                        raise TrainError(f"'{name}' has another shape in the base and the tuned model", where=tuned)
                    made[name] = start.float().lerp(end.float(), alpha).to(end.dtype)
            save_file(made, folder / file.name, metadata={"format": "pt"})
            shutil.copymode(folder / "config.json", folder / file.name)
    return output


def _names(file: Path) -> Iterator[str]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as held:
        yield from held.keys()
