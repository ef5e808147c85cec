"""The losses that a trainer of transformers leaves beside its model, as LLaMA-Factory and Axolotl do."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

__all__ = ["losses_told"]

_NAMES = {"loss": "loss", "learning_rate": "learning_rate", "grad_norm": "gradient_norm"}


def losses_told(output: Path) -> list[dict[str, Any]]:
    """Step, loss, rate and norm of every step that ``trainer_state.json`` tells of; nothing where it is not there.

    What cannot be read is left out: the course is for the report, and the model is looked at anyway.

    Args:
        output: Where the program wrote; a later checkpoint's folder may have the file too, and is not looked into.
    """
    try:
        told = json.loads((output / "trainer_state.json").read_bytes())["log_history"]
        entries = [entry for entry in told if "loss" in entry and "step" in entry]
        return [{"step": int(entry["step"]), **_numbers(entry)} for entry in entries if _finite(entry["loss"])]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _numbers(entry: dict[str, Any]) -> dict[str, float]:
    return {ours: float(entry[theirs]) for theirs, ours in _NAMES.items() if _finite(entry.get(theirs))}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
