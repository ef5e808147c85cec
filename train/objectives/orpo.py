"""Odds ratio preference optimisation (Hong et al., arXiv 2403.07691): fine-tuning and preference in one, no reference.

    p(y) = exp( mean over the tokens of y of log p(t | before t) )        odds(y) = p(y) / (1 - p(y))
    loss(pair) = - log p(chosen)  -  beta log sigmoid( log odds(chosen) - log odds(rejected) )
    loss(step) = sum over pairs of loss(pair)  /  number of pairs in the step

The first term is a mean per answer, as in the paper's equations; a mean over the tokens of a batch would make a pair's
part depend on its neighbours, and accumulating batches another training than one large batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datakit.core.checkpoint import Architecture
from train.data import Encoded
from train.encoder import Encoder
from train.objectives import Loss
from train.objectives.pairs import Pair, PairBatch, collate_pairs, encode_pairs, log_likelihoods

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Orpo", "odds_ratio_loss", "orpo_loss"]


class Orpo:
    """Pairs without a reference.

    Args:
        beta: Weight of the odds ratio beside the likelihood of the better answer.
    """

    architecture: ClassVar[Architecture] = "causal"
    columns: ClassVar[tuple[str, ...]] = ("id", "messages", "rejected")
    answers: ClassVar[bool] = True
    rows: ClassVar[Literal["tokens", "pairs", "masked"]] = "pairs"
    options: ClassVar[Mapping[str, Any]] = {"beta": 0.1}

    def __init__(self, beta: float = 0.1) -> None:
        self._beta = beta

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """Pairs."""
        return encode_pairs(table, encoder)

    def collate(self, rows: Sequence[Pair], *, pad: int) -> PairBatch:
        """Both answers of every pair, padded to the longest."""
        return collate_pairs(rows, pad=pad)

    def loss(self, model: Any, batch: PairBatch) -> Loss:
        """Summed over the pairs."""
        total, count = log_likelihoods(model, batch)
        return Loss(orpo_loss(total / count, beta=self._beta).sum())


def orpo_loss(mean: torch.Tensor, *, beta: float) -> torch.Tensor:
    """Loss of every pair, (n,).

    Args:
        mean: Mean log-likelihood per token of the answers, (2, n): better ones, then worse ones.
        beta: Weight of the odds ratio.
    """
    return -mean[0] + beta * odds_ratio_loss(mean)


def odds_ratio_loss(mean: torch.Tensor) -> torch.Tensor:
    """- log sigmoid of the log odds ratio of every pair, (n,)."""
    from torch.nn import functional

    odds = mean - _log_one_minus_exp(mean)
    return -functional.logsigmoid(odds[0] - odds[1])


def _log_one_minus_exp(value: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(x)) of x < 0, whichever of two forms keeps its digits (Mächler 2012); 0 counts as -1e-7."""
    import math

    import torch

    value = value.clamp(max=-1e-7)
    near = value > -math.log(2)
    # torch.where hands gradients of both branches on: each sees values of its own side only.
    small, large = torch.where(near, value, -1.0), torch.where(near, -1.0, value)
    return torch.where(near, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))
