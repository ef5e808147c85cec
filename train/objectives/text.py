"""Causal language modelling on plain text: continued pre-training on a domain.

    loss(step) = - sum over all tokens t but the first of each document of log p(t | the tokens before t in its row)
                 /  number of those tokens in the step

A document is closed by the end-of-sequence token. What is longer than a row goes on in the next, which begins with the
token that the one before ended with: every token is trained once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datakit.core.chat import tokenize
from datakit.core.checkpoint import Architecture
from train.data import Batch, Encoded, collate, encoded
from train.encoder import Encoder
from train.errors import TrainError
from train.losses import nll
from train.masking import Row
from train.objectives import Loss

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Text", "document_rows"]


class Text:
    """The column ``text``, every token of it."""

    architecture: ClassVar[Architecture] = "causal"
    columns: ClassVar[tuple[str, ...]] = ("id", "text")
    answers: ClassVar[bool] = False
    rows: ClassVar[Literal["tokens", "pairs", "masked"]] = "tokens"
    options: ClassVar[Mapping[str, Any]] = {}

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """Documents, cut where they are longer than a row."""
        rows: list[Row] = []
        for number, record in enumerate(table.to_pylist()):
            rows += document_rows(record.get("id") or str(number + 1), record.get("text"), encoder)
        return encoded(rows)

    def collate(self, rows: Sequence[Row], *, pad: int) -> Batch:
        """Rows padded to the longest."""
        return collate(rows, pad=pad)

    def loss(self, model: Any, batch: Batch) -> Loss:
        """Negative log-likelihood in nats, summed over the trained tokens."""
        return nll(model, batch)


def document_rows(id: str, text: str | None, encoder: Encoder) -> list[Row]:
    """A document as rows of at most the longest length, each token trained once but the first, which nothing predicts.

    Raises:
        TrainError: The text is empty, or the tokenizer has no EOS token.
    """
    import numpy as np

    end = encoder.tokenizer.eos_token_id
    if end is None:
        raise TrainError("the tokenizer has no end-of-sequence token", hint="Set eos_token in its config")
    if not (text or "").strip():
        raise TrainError("no trained token: the text is empty", where=f"row {id}", hint="Filter empty rows")
    ids = np.asarray([*tokenize(text or "", encoder.tokenizer), end], dtype=np.int32)
    if len(ids) < 2:
        raise TrainError("no trained token: the text has one token", where=f"row {id}", hint="Filter short rows")
    step = encoder.max_length - 1
    pieces = [ids[start : start + encoder.max_length] for start in range(0, len(ids) - 1, step)]
    return [Row(id, piece, np.arange(len(piece)) > 0) for piece in pieces]
