"""A miniature world, language model and suite: everything runs offline with it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datakit.pocket.general import write_general, write_multitask
    from datakit.pocket.preferences import write_preferences
    from datakit.pocket.task import write_task

__all__ = ["model_path", "suite_path", "write_general", "write_multitask", "write_preferences", "write_task"]

_LAZY = {
    "write_general": "datakit.pocket.general",
    "write_multitask": "datakit.pocket.general",
    "write_preferences": "datakit.pocket.preferences",
    "write_task": "datakit.pocket.task",
}

_HERE = Path(__file__).resolve().parent


def model_path() -> Path:
    """The folder of the pretrained model: configuration, tokenizer and weights (safetensors)."""
    return _HERE / "model"


def suite_path() -> Path:
    """The file that lists the suite's general tasks."""
    return _HERE / "suite" / "suite.yaml"


def __getattr__(name: str) -> object:
    """Loads the generator on first use, so that asking for a path stays cheap."""
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)
