"""Keys and values of what every request of a task begins with, computed once and laid under every batch.

Few-shot examples that stand the same before each item (a fixed selection, a long instruction) are most of a prompt. The
keys and values are expanded over a batch's rows without being copied into a cache of their own, so memory holds them
once. Only models whose attention looks at the whole context take part; ``scoring`` tries it out on the model first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["MIN_PREFIX", "RowPrefixes", "SharedPrefix", "worth_sharing"]

#: Shorter beginnings cost more in masks than they save.
MIN_PREFIX = 24


def worth_sharing(prefix: int, count: int) -> bool:
    """Whether keys and values of ``prefix`` tokens are kept for ``count`` sequences."""
    return prefix >= MIN_PREFIX and count >= 4


class SharedPrefix:
    """The beginning of all sequences of a task on one model.

    Args:
        model: A causal language model of transformers (or PEFT around one).
        ids: Tokens, not empty.
        device: Where the model lies.
    """

    def __init__(self, model: Any, ids: Sequence[int], *, device: str) -> None:
        import torch

        self.argument = _argument(model)
        self.length = len(ids)
        self.device = device
        with torch.inference_mode():
            out = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=True)
        self.cache = getattr(out, self.argument)
        for layer in _plain_layers(self.cache):
            layer.update = functools.partial(_behind, layer.keys, layer.values)

    def inputs(self) -> dict[str, Any]:
        """Arguments of a forward pass over what follows."""
        return {self.argument: self.cache, "use_cache": True}

    def seen(self) -> Any:
        """Which of its tokens every token that follows sees: all."""
        import torch

        return torch.ones(1, 1, self.length, dtype=torch.bool, device=self.device)


class RowPrefixes:
    """The beginnings of a batch's rows, each row its own.

    Args:
        model: The model.
        out: Its output over the beginnings, padded on the right, with keys and values.
        lengths: Tokens of each beginning.
    """

    def __init__(self, model: Any, out: Any, lengths: np.ndarray[Any, Any]) -> None:
        self.argument = _argument(model)
        self.cache = getattr(out, self.argument)
        self.lengths = lengths
        _plain_layers(self.cache)

    def inputs(self) -> dict[str, Any]:
        """Arguments of the one forward pass over what follows."""
        return {self.argument: self.cache, "use_cache": True}

    def seen(self) -> Any:
        """Which places hold tokens of the row and no padding."""
        import torch

        keys = self.cache.layers[0].keys
        lengths = torch.from_numpy(self.lengths).to(keys.device)
        return (torch.arange(keys.shape[-2], device=keys.device) < lengths[:, None])[:, None]


def _argument(model: Any) -> str:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    # The argument's name changed in transformers 5.24.
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"


def _plain_layers(cache: Any) -> list[Any]:
    for layer in cache.layers:
        if type(layer).__name__ != "DynamicLayer":
            raise NotImplementedError(f"keys and values of {type(layer).__name__} are not shared")
    return list(cache.layers)


def _behind(keys: Any, values: Any, new_keys: Any, new_values: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
    """Keys and values of the prefix in front of a batch's own; nothing is kept."""
    import torch

    count = new_keys.shape[0]
    return (
        torch.cat([keys.expand(count, -1, -1, -1), new_keys], dim=-2),
        torch.cat([values.expand(count, -1, -1, -1), new_values], dim=-2),
    )
