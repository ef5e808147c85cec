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

__all__ = ["MIN_PREFIX", "SharedPrefix", "worth_sharing"]

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

        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        # The argument's name changed in transformers 5.24.
        self.argument = "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"
        self.length = len(ids)
        with torch.inference_mode():
            out = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=True)
        self.cache = getattr(out, self.argument)
        for layer in self.cache.layers:
            if type(layer).__name__ != "DynamicLayer":
                raise NotImplementedError(f"keys and values of {type(layer).__name__} are not shared")
            layer.update = functools.partial(_behind, layer.keys, layer.values)

    def inputs(self) -> dict[str, Any]:
        """Arguments of a forward pass over what follows."""
        return {self.argument: self.cache, "use_cache": True}


def _behind(keys: Any, values: Any, new_keys: Any, new_values: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
    """Keys and values of the prefix in front of a batch's own; nothing is kept."""
    import torch

    count = new_keys.shape[0]
    return (
        torch.cat([keys.expand(count, -1, -1, -1), new_keys], dim=-2),
        torch.cat([values.expand(count, -1, -1, -1), new_values], dim=-2),
    )
