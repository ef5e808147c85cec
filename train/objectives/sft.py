"""Supervised fine-tuning: the model learns to say the answer, given the prompt.

    loss(step) = - sum over trained tokens t of log p(t | tokens before t)  /  number of trained tokens in the step

A mean per batch, averaged over accumulated batches, would weigh tokens of short answers more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from train.data import Batch, Encoded, collate, encode_rows
from train.encoder import Encoder
from train.losses import nll
from train.masking import Row
from train.objectives import Loss

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Sft"]


class Sft:
    """The last assistant turn and its end are trained."""

    architecture: ClassVar[Literal["causal", "masked"]] = "causal"
    columns: ClassVar[tuple[str, ...]] = ("id", "messages", "text")

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """Conversations; plain text where the encoder says so (replay)."""
        return encode_rows(table, encoder)

    def collate(self, rows: Sequence[Row], *, pad: int) -> Batch:
        """Rows padded to the longest."""
        return collate(rows, pad=pad)

    def loss(self, model: Any, batch: Batch) -> Loss:
        """Negative log-likelihood in nats, summed over the trained tokens."""
        return nll(model, batch)
