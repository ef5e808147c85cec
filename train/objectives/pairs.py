"""Preference pairs: two answers to one prompt, the better one in ``messages`` and the worse one in ``rejected``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.data import Batch, Encoded, collate, encoded
from train.encoder import Encoder
from train.errors import TrainError
from train.losses import logits_at
from train.masking import Row, completion_row

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

__all__ = ["Pair", "PairBatch", "collate_pairs", "encode_pairs", "log_likelihoods"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One encoded pair.

    Attributes:
        chosen: The prompt and the better answer.
        rejected: The prompt and the worse answer.
        reference: Log-likelihoods of both answers under the start model, in nats; None until it was asked.
    """

    chosen: Row
    rejected: Row
    reference: tuple[float, float] | None = None

    @property
    def id(self) -> str:
        """The example's id."""
        return self.chosen.id

    @property
    def sequences(self) -> tuple[Row, Row]:
        """Both rows."""
        return self.chosen, self.rejected

    @property
    def weight(self) -> float:
        """1 for a pair; 0 where one of its answers lies behind the longest length."""
        return float(all(row.trained_tokens for row in self.sequences))

    @property
    def trained_tokens(self) -> int:
        """Tokens of both answers."""
        return self.chosen.trained_tokens + self.rejected.trained_tokens

    @property
    def truncated(self) -> bool:
        """One of its answers lost its end."""
        return self.chosen.truncated or self.rejected.truncated

    @property
    def ids(self) -> NDArray[np.int32]:
        """Token ids of both rows, one after the other."""
        import numpy as np

        return np.concatenate([row.ids for row in self.sequences])

    def __len__(self) -> int:
        return len(self.chosen) + len(self.rejected)


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs side by side: all better answers, then all worse ones.

    Attributes:
        rows: The 2 n rows.
        owner: Row of each trained token, (trained,), rising.
        reference: Log-likelihoods under the start model, (2, n); None without one.
        pairs: n.
    """

    rows: Batch
    owner: torch.Tensor
    reference: torch.Tensor | None
    pairs: int

    @property
    def weight(self) -> float:
        """Number of pairs."""
        return float(self.pairs)

    def to(self, device: torch.device) -> PairBatch:
        """The batch on a device."""
        reference = None if self.reference is None else self.reference.to(device, non_blocking=True)
        return PairBatch(self.rows.to(device), self.owner.to(device, non_blocking=True), reference, self.pairs)


def encode_pairs(table: pa.Table, encoder: Encoder) -> Encoded:
    """Pairs of a built dataset.

    Raises:
        TrainError: A row without a better or a worse answer, or with two equal ones; names its id.
    """
    pairs = []
    for number, record in enumerate(table.to_pylist()):
        id, messages = record.get("id") or str(number + 1), record.get("messages")
        chosen = _row(id, messages, encoder)
        worse: Sequence[Mapping[str, str]] = record.get("rejected") or ()
        if not worse or worse[-1]["role"] != "assistant":
            raise TrainError(
                "the row has no worse answer",
                where=f"row {id}",
                hint="The source needs a column of worse answers: columns: {prompt: ..., chosen: ..., rejected: ...}",
            )
        rejected = _row(id, [*messages[:-1], worse[-1]], encoder)
        if chosen.ids.tolist() == rejected.ids.tolist() and not chosen.truncated:
            raise TrainError("both answers are the same", where=f"row {id}", hint="Filter such pairs")
        pairs.append(Pair(chosen, rejected))
    return encoded(pairs)


def _row(id: str, messages: Any, encoder: Encoder) -> Row:
    return completion_row(id, messages, encoder.tokenizer, encoder.chat, end=encoder.end, max_length=encoder.max_length)


def collate_pairs(pairs: Sequence[Pair], *, pad: int) -> PairBatch:
    """Pairs padded to the longest of all their rows."""
    import numpy as np
    import torch

    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    owner = np.repeat(np.arange(len(rows)), [row.trained_tokens for row in rows])
    reference = None
    if all(pair.reference is not None for pair in pairs):
        reference = torch.tensor([pair.reference for pair in pairs], dtype=torch.float32).T
    return PairBatch(collate(rows, pad=pad), torch.from_numpy(owner), reference, len(pairs))


def log_likelihoods(model: Any, batch: PairBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-likelihood of every answer in nats, and its number of tokens, both (2, n): better ones, then worse ones."""
    import torch
    from torch.nn import functional

    logits = logits_at(model, batch.rows)
    each = -functional.cross_entropy(logits.float(), batch.rows.targets, reduction="none")
    zeros = torch.zeros(2 * batch.pairs, dtype=each.dtype, device=each.device)
    total = zeros.index_add(0, batch.owner, each)
    count = zeros.index_add(0, batch.owner, torch.ones_like(each))
    return total.view(2, -1), count.view(2, -1)
