"""A reward model (Ouyang et al., arXiv 2203.02155): one number per answer, higher for the better one of two.

    loss(pair) = - log sigmoid( r(prompt, chosen) - r(prompt, rejected) )
    loss(step) = sum over pairs of loss(pair)  /  number of pairs in the step

r is a linear layer on the hidden state of the answer's last token, which is its end of turn: a sequence classifier with
one label, as transformers and TRL read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datakit.core.checkpoint import Architecture
from train.data import Encoded
from train.encoder import Encoder
from train.objectives import Loss
from train.objectives.pairs import Pair, PairBatch, collate_pairs, encode_pairs

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Reward", "pair_scores", "reward_loss"]


class Reward:
    """Pairs, each answer judged by a number of its own."""

    architecture: ClassVar[Architecture] = "reward"
    columns: ClassVar[tuple[str, ...]] = ("id", "messages", "rejected")
    answers: ClassVar[bool] = True
    rows: ClassVar[Literal["tokens", "pairs", "masked"]] = "pairs"
    options: ClassVar[Mapping[str, Any]] = {}

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """Pairs."""
        return encode_pairs(table, encoder)

    def collate(self, rows: Sequence[Pair], *, pad: int) -> PairBatch:
        """Both answers of every pair, padded to the longest."""
        return collate_pairs(rows, pad=pad)

    def loss(self, model: Any, batch: PairBatch) -> Loss:
        """Summed over the pairs."""
        return Loss(reward_loss(pair_scores(model, batch)).sum())

    def measure(self, model: Any, batches: Sequence[PairBatch]) -> dict[str, float]:
        """Share of pairs in which the better answer has the higher number."""
        import torch

        right = torch.zeros(())
        with torch.inference_mode():
            for batch in batches:
                scores = pair_scores(model, batch.to(model.device))
                right += (scores[0] > scores[1]).sum().cpu()
        return {"pair_accuracy": float(right) / sum(batch.pairs for batch in batches)}


def pair_scores(model: Any, batch: PairBatch) -> torch.Tensor:
    """The number of every answer, (2, pairs), float32: better ones, then worse ones.

    Args:
        model: A sequence classifier with one label.
        batch: On its device.
    """
    import torch

    body = getattr(model, model.base_model_prefix)
    hidden = body(input_ids=batch.rows.ids, use_cache=False).last_hidden_state.flatten(0, 1)
    last = torch.zeros(2 * batch.pairs, dtype=torch.long, device=hidden.device)
    last = last.scatter_reduce(0, batch.owner, batch.rows.positions + 1, "amax")
    scores: torch.Tensor = model.score(hidden[last]).squeeze(-1).float()
    return scores.view(2, -1)


def reward_loss(scores: torch.Tensor) -> torch.Tensor:
    """Loss of every pair, (pairs,).

    Args:
        scores: (2, pairs): of the better answers, then of the worse ones.
    """
    from torch.nn import functional

    return -functional.logsigmoid(scores[0] - scores[1])
