"""Direct preference optimisation (Rafailov et al., arXiv 2305.18290): the better answer gains on the worse one.

    loss(pair) = - log sigmoid( beta [ (log p(chosen) - log r(chosen)) - (log p(rejected) - log r(rejected)) ] )
    loss(step) = sum over pairs of loss(pair)  /  number of pairs in the step

p is the model in training and r, the reference, the model it starts from. Log-likelihoods of r are computed once before
the first step and kept with the rows, so that no second model is in memory. At the start p = r: the loss is ln 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datakit.core.checkpoint import Architecture
from train.data import Encoded, batches
from train.encoder import Encoder
from train.errors import TrainError
from train.objectives import Loss
from train.objectives.pairs import Pair, PairBatch, collate_pairs, encode_pairs, log_likelihoods

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Dpo", "dpo_loss"]


class Dpo:
    """Pairs against the start model.

    Args:
        beta: How much a nat of advantage over the start model counts; the smaller, the further the model goes.
    """

    architecture: ClassVar[Architecture] = "causal"
    columns: ClassVar[tuple[str, ...]] = ("id", "messages", "rejected")
    answers: ClassVar[bool] = True
    rows: ClassVar[Literal["tokens", "pairs", "masked"]] = "pairs"
    options: ClassVar[Mapping[str, Any]] = {"beta": 0.1}
    starts_at: ClassVar[float] = math.log(2)

    def __init__(self, beta: float = 0.1) -> None:
        self._beta = beta

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """Pairs."""
        return encode_pairs(table, encoder)

    def refer(self, model: Any, rows: Sequence[Pair], *, batch_size: int, pad: int) -> list[Pair]:
        """The pairs with their log-likelihoods under the start model."""
        import torch

        found: dict[int, tuple[float, float]] = {}
        places = {id(pair): at for at, pair in enumerate(rows)}
        order: list[Sequence[Pair]] = []

        def kept(part: Sequence[Pair], *, pad: int) -> PairBatch:
            order.append(part)
            return collate_pairs(part, pad=pad)

        with torch.inference_mode():
            made = batches(rows, batch_size=batch_size, pad=pad, collate=kept)
            for part, batch in zip(order, made, strict=True):
                total, _ = log_likelihoods(model, batch.to(model.device))
                for pair, both in zip(part, total.T.tolist(), strict=True):
                    found[places[id(pair)]] = (both[0], both[1])
        return [replace(pair, reference=found[at]) for at, pair in enumerate(rows)]

    def collate(self, rows: Sequence[Pair], *, pad: int) -> PairBatch:
        """Both answers of every pair, padded to the longest."""
        return collate_pairs(rows, pad=pad)

    def loss(self, model: Any, batch: PairBatch) -> Loss:
        """Summed over the pairs."""
        if batch.reference is None:
            raise TrainError("the start model was not asked about these pairs")
        total, _ = log_likelihoods(model, batch)
        return Loss(dpo_loss(total, batch.reference, beta=self._beta).sum())


def dpo_loss(policy: torch.Tensor, reference: torch.Tensor, *, beta: float) -> torch.Tensor:
    """Loss of every pair, (n,).

    Args:
        policy: Log-likelihoods of the answers under the model, (2, n): better ones, then worse ones.
        reference: The same under the start model.
        beta: Weight of the advantage.
    """
    from torch.nn import functional

    advantage = policy - reference
    return -functional.logsigmoid(beta * (advantage[0] - advantage[1]))
