"""What the loop must know of a model's configuration."""

from __future__ import annotations

import json
from pathlib import Path

from train.errors import TrainError

__all__ = ["longest_length"]


def longest_length(folder: Path, wanted: int | None) -> int:
    """The longest row in tokens: the wanted one, or 2,048 or what the model holds where that is less.

    Raises:
        TrainError: More is wanted than the model holds.
    """
    config = json.loads((folder / "config.json").read_bytes())
    config |= config.get("text_config", {})
    held = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(held, int):
        return wanted or 2048
    if wanted is not None and wanted > held:
        raise TrainError(f"max_length {wanted} is more than the {held} tokens this model holds")
    return wanted or min(2048, held)
