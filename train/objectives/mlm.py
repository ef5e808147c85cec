"""Masked language modelling for encoders (Devlin et al., arXiv 1810.04805).

    loss(step) = - sum over chosen tokens t of log p(t | the row as it is shown)  /  number of chosen tokens in the step

Every token that is not special is chosen with probability ``masked``; of the chosen 80 % are shown as the mask token,
10 % as a token drawn from the whole vocabulary, 10 % as they are. A row in which chance chooses none gets one, so that
none is wasted. What is chosen is drawn anew each time a row comes, before rows are batched: the divisor is the step's
own count, and accumulating batches equals one large batch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datakit.core.checkpoint import Architecture
from train.data import Encoded, encoded
from train.encoder import Encoder
from train.errors import TrainError
from train.losses import head_sees_only
from train.objectives import Loss

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

__all__ = ["MaskedBatch", "MaskedRow", "Mlm", "corrupt"]

SHOWN_AS_MASK, SHOWN_AS_RANDOM = 0.8, 0.1


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """One encoded row.

    Attributes:
        id: The example's id.
        ids: Token ids as they were, special tokens around them.
        trained: The chosen tokens; before the first draw all that could be.
        shown: Token ids as the model sees them; None before the first draw.
        vocabulary: Number of ids a random token is drawn from.
        mask: Id of the mask token.
        special: Which tokens are special and never chosen.
        truncated: Never: what is too long goes on in the next row.
    """

    id: str
    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    special: NDArray[np.bool_]
    mask: int
    vocabulary: int
    shown: NDArray[np.int32] | None = None
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        """Number of chosen tokens."""
        return float(self.trained_tokens)

    @property
    def trained_tokens(self) -> int:
        """Number of chosen tokens."""
        return int(self.trained.sum())


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Rows side by side.

    Attributes:
        ids: Token ids as they are shown, (rows, longest).
        attention: 1 where a row has a token, (rows, longest): an encoder looks at both sides, padding included.
        positions: Indices of the chosen tokens into the flattened (rows * longest), (chosen,).
        targets: What they were, (chosen,).
    """

    ids: torch.Tensor
    attention: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor

    @property
    def weight(self) -> float:
        """Number of chosen tokens."""
        return float(len(self.targets))

    def to(self, device: torch.device) -> MaskedBatch:
        """The batch on a device."""
        parts = (self.ids, self.attention, self.positions, self.targets)
        return MaskedBatch(*(part.to(device, non_blocking=True) for part in parts))


class Mlm:
    """The column ``text``, some of its tokens hidden.

    Args:
        masked: Probability that a token is chosen.
    """

    architecture: ClassVar[Architecture] = "masked"
    columns: ClassVar[tuple[str, ...]] = ("id", "text")
    answers: ClassVar[bool] = False
    rows: ClassVar[Literal["tokens", "pairs", "masked"]] = "masked"
    options: ClassVar[Mapping[str, Any]] = {"masked": 0.15}

    def __init__(self, masked: float = 0.15) -> None:
        self._masked = masked

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """Texts, cut where they are longer than a row; every piece has the special tokens around it."""
        rows: list[MaskedRow] = []
        for number, record in enumerate(table.to_pylist()):
            rows += _rows(record.get("id") or str(number + 1), record.get("text"), encoder)
        return encoded(rows)

    def draw(self, row: MaskedRow, source: random.Random) -> MaskedRow:
        """Chooses tokens and what they are shown as."""
        import numpy as np

        return corrupt(row, np.random.default_rng(source.getrandbits(64)), probability=self._masked)

    def collate(self, rows: Sequence[MaskedRow], *, pad: int) -> MaskedBatch:
        """Rows padded to the longest."""
        import numpy as np
        import torch

        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), pad, dtype=np.int64)
        before, attention = ids.copy(), np.zeros_like(ids)
        trained = np.zeros((len(rows), longest), dtype=bool)
        for place, row in enumerate(rows):
            own = slice(0, len(row))
            ids[place, own] = row.ids if row.shown is None else row.shown
            before[place, own], attention[place, own], trained[place, own] = row.ids, 1, row.trained
        positions = np.flatnonzero(trained)
        parts = (ids, attention, positions, before.reshape(-1)[positions])
        return MaskedBatch(*(torch.from_numpy(part) for part in parts))

    def loss(self, model: Any, batch: MaskedBatch) -> Loss:
        """Negative log-likelihood in nats, summed over the chosen tokens."""
        from torch.nn import functional

        with head_sees_only(model, batch.positions):
            logits = model(input_ids=batch.ids, attention_mask=batch.attention).logits.flatten(0, -2)
        if logits.shape[0] != batch.targets.shape[0]:  # a model whose output layer is no module of its own
            logits = logits.index_select(0, batch.positions)
        return Loss(functional.cross_entropy(logits.float(), batch.targets, reduction="sum"), logits)


def corrupt(row: MaskedRow, generator: np.random.Generator, *, probability: float) -> MaskedRow:
    """The row with tokens chosen and hidden."""
    import numpy as np

    chosen = (generator.random(len(row)) < probability) & ~row.special
    if not chosen.any():
        chosen[generator.choice(np.flatnonzero(~row.special))] = True
    how = generator.random(len(row))
    shown = row.ids.copy()
    shown[chosen & (how < SHOWN_AS_MASK)] = row.mask
    swapped = chosen & (how >= SHOWN_AS_MASK) & (how < SHOWN_AS_MASK + SHOWN_AS_RANDOM)
    shown[swapped] = generator.integers(0, row.vocabulary, int(swapped.sum()))
    return replace(row, trained=chosen, shown=shown)


def _rows(id: str, text: str | None, encoder: Encoder) -> list[MaskedRow]:
    import numpy as np

    tokenizer = encoder.tokenizer
    if tokenizer.mask_token_id is None:
        raise TrainError("the tokenizer has no mask token", hint="objective mlm needs an encoder, such as BERT")
    if not (text or "").strip():
        raise TrainError("no trained token: the text is empty", where=f"row {id}", hint="Filter empty rows")
    if encoder.max_length <= tokenizer.num_special_tokens_to_add():
        raise TrainError(f"max_length {encoder.max_length} leaves no room beside the special tokens")
    made = tokenizer(
        text,
        truncation=True,
        max_length=encoder.max_length,
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
    )
    rows = []
    for own, marks in zip(made["input_ids"], made["special_tokens_mask"], strict=True):
        ids, special = np.asarray(own, dtype=np.int32), np.asarray(marks, dtype=bool)
        if not special.all():
            rows.append(MaskedRow(id, ids, ~special, special, tokenizer.mask_token_id, len(tokenizer)))
    return rows
