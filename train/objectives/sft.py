"""Supervised fine-tuning: the model learns to say the answer, given the prompt.

    loss(step) = - sum over trained tokens t of w_t log p(t | tokens before t)  /  sum of w_t in the step

w_t is 1 where no turn has a weight of its own. A mean per batch, averaged over accumulated batches, would weigh tokens
of short answers more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datakit.core.checkpoint import Architecture
from train.data import Batch, Encoded, collate, encode_rows, encoded
from train.encoder import Encoder
from train.losses import logits_at, nll
from train.masking import Row, text_rows
from train.objectives import Loss
from train.turns import turn_rows

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Sft", "weighted_nll"]


class Sft:
    """Answers and their ends are trained.

    Args:
        turns: ``last`` trains the last assistant turn, ``all`` every one.
        turn_weights: Weight of a token of the last assistant turn, of the one before it, and so on; turns further
            back have the last weight that is given. None is 1 for all.
    """

    architecture: ClassVar[Architecture] = "causal"
    columns: ClassVar[tuple[str, ...]] = ("id", "messages", "text")
    answers: ClassVar[bool] = True
    rows: ClassVar[Literal["tokens", "pairs", "masked"]] = "tokens"
    options: ClassVar[Mapping[str, Any]] = {"turns": "last", "turn_weights": None}

    def __init__(self, turns: Literal["last", "all"] = "last", turn_weights: Sequence[float] | None = None) -> None:
        self._turns = turns
        self._weights = tuple(turn_weights or ())

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """Conversations; plain text where the encoder says so (replay)."""
        if self._turns == "last":
            return encode_rows(table, encoder)
        rows: list[Row] = []
        for number, record in enumerate(table.to_pylist()):
            id = record.get("id") or str(number + 1)
            if encoder.plain_text and not record.get("messages"):
                rows += text_rows(id, record.get("text") or "", encoder.tokenizer, max_length=encoder.max_length)
            else:
                rows += turn_rows(id, record.get("messages"), encoder, self._weights)
        return encoded(rows)

    def collate(self, rows: Sequence[Row], *, pad: int) -> Batch:
        """Rows padded to the longest."""
        return collate(rows, pad=pad)

    def loss(self, model: Any, batch: Batch) -> Loss:
        """Negative log-likelihood in nats, summed over the trained tokens."""
        return nll(model, batch) if batch.weights is None else weighted_nll(model, batch, batch.weights)


def weighted_nll(model: Any, batch: Batch, weights: torch.Tensor) -> Loss:
    """- sum over trained tokens of w_t log p(t | before t), in nats, float32."""
    from torch.nn import functional

    logits = logits_at(model, batch)
    each = functional.cross_entropy(logits.float(), batch.targets, reduction="none")
    return Loss((each * weights).sum(), logits)
