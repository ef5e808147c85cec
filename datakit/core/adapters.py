"""Adapter folders: known from model folders, laid over a base, taken off again.

Two kinds are known: those of PEFT (``adapter_config.json``), and our own interventions on the residual stream
(``reft_config.json``, see :mod:`datakit.core.reft`). Training, evaluation and questions all come here.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datakit.core.errors import ModelError
from datakit.core.require import require

__all__ = [
    "ADAPTER_FILES",
    "PEFT_CONFIG",
    "REFT_CONFIG",
    "base_name",
    "is_adapter",
    "lay_over",
    "quiet_peft",
    "reads_prompts",
    "switched_off",
    "take_off",
]

PEFT_CONFIG, REFT_CONFIG = "adapter_config.json", "reft_config.json"
#: All that makes an adapter what it is, as patterns.
ADAPTER_FILES = (PEFT_CONFIG, REFT_CONFIG, "*.safetensors")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, not a whole model."""
    return (folder / PEFT_CONFIG).is_file() or (folder / REFT_CONFIG).is_file()


def base_name(folder: Path) -> str:
    """The model an adapter was trained over, as it was named then; empty where the folder does not say.

    Raises:
        ModelError: Its configuration is not readable.
    """
    config = next((folder / name for name in (PEFT_CONFIG, REFT_CONFIG) if (folder / name).is_file()), folder)
    try:
        value = json.loads(config.read_bytes())
    except (OSError, ValueError):
        raise ModelError("not valid JSON", where=config) from None
    name = value.get("base_model_name_or_path") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """PEFT 0.21 asks a model of transformers 5.23 for a name that is deprecated there; the rest is heard."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def lay_over(model: Any, folder: Path) -> Any:
    """The model with an adapter over it, in evaluation mode; :func:`take_off` gives the base back.

    Raises:
        ModelError: Our own adapter does not fit.
        ValueError: Or another error of PEFT: the adapter does not fit.
    """
    if (folder / REFT_CONFIG).is_file():
        from datakit.core.reft import attach, read

        config, tensors = read(folder)
        return attach(model, config, tensors).eval()
    peft = require("peft", extra="train")
    with quiet_peft():
        return peft.PeftModel.from_pretrained(model, str(folder), is_trainable=False).eval()


def take_off(tuned: Any) -> Any:
    """The base as it was before :func:`lay_over`."""
    if hasattr(tuned, "reft"):
        from datakit.core.reft import detach

        return detach(tuned)
    # Without an unload virtual tokens stand in front of the base, which is as it was.
    base = tuned.base_model.unload() if hasattr(tuned.base_model, "unload") else tuned.get_base_model()
    vars(base).pop("peft_config", None)  # PEFT leaves it behind and warns of a second adapter the next time
    return base


@contextlib.contextmanager
def switched_off(tuned: Any) -> Iterator[None]:
    """Within it the tuned model answers as its base."""
    if hasattr(tuned, "reft"):
        with tuned.reft.off():
            yield
        return
    with tuned.disable_adapter():
        yield


def reads_prompts(model: Any) -> bool:
    """Whether what the model does depends on where the prompt ends, or on tokens that it puts in front by itself.

    Keys and values of such a model are not shared between requests.
    """
    config = getattr(model, "active_peft_config", None)
    return hasattr(model, "reft") or bool(getattr(config, "is_prompt_learning", False))
