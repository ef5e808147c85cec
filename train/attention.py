"""Attention within each row of a packed sequence, as a function that transformers calls in place of its own.

On a GPU in half precision it is PyTorch's ``varlen_attn`` (one kernel for all rows); elsewhere the rows are attended to
one by one by ``scaled_dot_product_attention`` with its causal kernel: on the CPU that is faster than one call with a
block-diagonal mask, which computes all that it then throws away.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from train.errors import TrainError

if TYPE_CHECKING:
    import torch

__all__ = ["NAME", "DocumentAttention", "attend", "attends_by_document", "varlen"]

NAME = "datakit_documents"


def attends_by_document(model: Any) -> bool:
    """Whether the model lets its attention function be chosen, and is causal."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return bool(getattr(base, "_supports_attention_backend", False) or getattr(base, "_supports_sdpa", False))


class DocumentAttention:
    """While the block runs, the model attends within the rows of packed batches; the backward pass belongs inside.

    Args:
        model: A Hugging Face model, with or without a PEFT adapter.
    """

    def __init__(self, model: Any) -> None:
        found = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}
        self._configs = [config for config in found.values() if hasattr(config, "_attn_implementation")]
        self._before: list[Any] = []

    def __enter__(self) -> DocumentAttention:
        _register()
        self._before = [config._attn_implementation for config in self._configs]
        for config in self._configs:
            config._attn_implementation = NAME
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for config, before in zip(self._configs, self._before, strict=True):
            config._attn_implementation = before


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    def mask(*args: Any, attention_mask: Any = None, **options: Any) -> Any:
        if attention_mask is None:
            return None
        return ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](*args, attention_mask=attention_mask, **options)

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, mask)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The attention of one layer, as transformers asks for it.

    Args:
        module: The layer's attention.
        query: (batch, heads, tokens, size).
        key: (batch, key heads, tokens, size).
        value: As the key.
        attention_mask: Of a batch that is not packed.
        dropout: Probability that an attention weight is dropped.
        scaling: Of the scores; one by the root of the size where it is not given.
        cu_seq_lens_q: Where the rows of a packed sequence begin and end, (rows + 1,), int32; None in one not packed.
        max_length_q: Tokens of the longest row.
        sliding_window: Tokens that a token sees back, itself included.
        options: Whatever else a model hands over.

    Returns:
        (batch, tokens, heads, size), and no weights.

    Raises:
        TrainError: The model asks for something this function does not do.
    """
    import torch
    from torch.nn import functional
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise TrainError("attention with capped scores or sinks is not packed")
    if cu_seq_lens_q is None:
        options |= {"dropout": dropout, "scaling": scaling, "sliding_window": sliding_window}
        found: tuple[torch.Tensor, None] = ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, attention_mask, **options
        )
        return found
    if not getattr(module, "is_causal", True):
        raise TrainError("attention to both sides is not packed")
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16) and not dropout:
        window = sliding_window or 0
        return varlen(query, key, value, cu_seq_lens_q, max_length_q, scaling=scaling, window=window), None
    lengths = cu_seq_lens_q.diff().tolist()
    parts = zip(*(torch.split(part, lengths, dim=2) for part in (query, key, value)), strict=True)
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    for length, (q, k, v) in zip(lengths, parts, strict=True):
        far = bool(sliding_window and length > sliding_window)
        mask = _band(length, sliding_window or 0, q.device) if far else None
        outputs.append(
            functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=not far, scale=scaling, enable_gqa=grouped
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    *,
    scaling: float | None,
    window: int,
) -> torch.Tensor:
    """All rows in one kernel of the GPU; key heads are repeated, since PyTorch 2.11 has no grouped form of it."""
    from torch.nn.attention.varlen import varlen_attn

    repeats = query.shape[1] // key.shape[1]
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    if repeats > 1:
        k, v = (part.repeat_interleave(repeats, dim=1) for part in (k, v))
    sees = (window - 1 if window else -1, 0)
    output = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling, window_size=sees)
    return cast("torch.Tensor", output)[None]


def _band(length: int, window: int, device: torch.device) -> torch.Tensor:
    """What a token sees: itself and ``window - 1`` tokens before it, (length, length)."""
    import torch

    places = torch.arange(length, device=device)
    back = places[:, None] - places
    return (back >= 0) & (back < window)
