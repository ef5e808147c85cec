"""Answers sampled from the policy, with everything that learning from them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.adapters.interventions import shown_spans

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["Answers", "answer_logprobs", "answer_values", "sample"]


@dataclass(frozen=True, slots=True)
class Answers:
    """A batch of prompts with an answer each.

    Attributes:
        ids: (answers, longest), prompt and answer, padded at the end.
        starts: (answers,), where the answer begins.
        mask: (answers, tokens), True for tokens of the answer; column 0 is its first token. The end-of-turn token
            belongs to it where the model said one.
        complete: (answers,), whether the answer ended by itself.
    """

    ids: torch.Tensor
    starts: torch.Tensor
    mask: torch.Tensor
    complete: torch.Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def places(self) -> torch.Tensor:
        """(answers, tokens), the position whose output predicts each token of the answer; a valid one everywhere."""
        import torch

        columns = torch.arange(self.mask.shape[1], device=self.ids.device)
        return (self.starts[:, None] - 1 + columns).clamp(max=self.ids.shape[1] - 2)

    @property
    def tokens(self) -> torch.Tensor:
        """(answers, tokens), the answers' token ids; what the mask leaves out means nothing."""
        return self.ids.gather(1, self.places + 1)

    @property
    def spans(self) -> list[tuple[int, int, int]]:
        """Row, beginning and end of every prompt."""
        return [(row, 0, start) for row, start in enumerate(self.starts.tolist())]

    def rows(self, chosen: slice) -> Answers:
        """Some of them."""
        return Answers(self.ids[chosen], self.starts[chosen], self.mask[chosen], self.complete[chosen])

    def split(self) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids of the prompts and of the answers, without padding."""
        ids, starts, lengths = self.ids.tolist(), self.starts.tolist(), self.mask.sum(1).tolist()
        prompts = [row[:start] for row, start in zip(ids, starts, strict=True)]
        answers = [row[start : start + count] for row, start, count in zip(ids, starts, lengths, strict=True)]
        return prompts, answers


def sample(
    model: Any,
    prompts: Sequence[NDArray[np.int32]],
    *,
    stops: Sequence[int],
    pad: int,
    max_answer: int,
    temperature: float,
) -> Answers:
    """One answer per prompt, sampled with torch's random state.

    Args:
        model: A causal language model with ``generate``.
        prompts: Token ids of each; they end where the answer begins.
        stops: Token ids that end an answer.
        pad: Token id to pad with.
        max_answer: Longest answer in tokens.
        temperature: Of the softmax.
    """
    import torch

    longest = max(len(row) for row in prompts)
    device = model.device
    left = torch.full((len(prompts), longest), pad)
    seen = torch.zeros(len(prompts), longest, dtype=torch.long)
    for place, row in enumerate(prompts):
        left[place, longest - len(row) :] = torch.from_numpy(row).long()
        seen[place, longest - len(row) :] = 1
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = model.generate(
            input_ids=left.to(device),
            attention_mask=seen.to(device),
            max_new_tokens=max_answer,
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            pad_token_id=pad,
            eos_token_id=list(stops),
            use_cache=True,
        )
    model.train(was_training)
    said = found[:, longest:]
    stop = torch.isin(said, torch.tensor(list(stops), device=device))
    before = stop.cumsum(1) - stop.long()  # stops said before this token
    mask = before == 0
    return _aligned(prompts, said, mask, stop.any(1), pad=pad)


def _aligned(
    prompts: Sequence[NDArray[np.int32]], said: torch.Tensor, mask: torch.Tensor, complete: torch.Tensor, *, pad: int
) -> Answers:
    """The same, padded at the end instead of the front: a causal model then needs no attention mask."""
    import torch

    lengths = mask.sum(1).tolist()
    starts = [len(row) for row in prompts]
    longest = max(start + length for start, length in zip(starts, lengths, strict=True))
    ids = torch.full((len(prompts), longest), pad, device=said.device)
    for place, row in enumerate(prompts):
        ids[place, : starts[place]] = torch.from_numpy(row).long()
        ids[place, starts[place] : starts[place] + lengths[place]] = said[place, : lengths[place]]
    return Answers(ids, torch.tensor(starts, device=said.device), mask, complete)


def answer_logprobs(model: Any, answers: Answers, *, temperature: float = 1.0) -> torch.Tensor:
    """Log-probability of every token of the answers, (answers, tokens), float32; 0 outside the mask.

    Args:
        model: A causal language model.
        answers: Sampled before.
        temperature: As when they were sampled.
    """
    import torch

    with shown_spans(model, answers.spans):
        logits = model(input_ids=answers.ids, use_cache=False).logits
    rows = torch.arange(len(answers), device=logits.device)[:, None]
    chosen = logits[rows, answers.places].float() / temperature
    logprobs = chosen.log_softmax(-1).gather(2, answers.tokens[:, :, None]).squeeze(2)
    masked: torch.Tensor = logprobs.masked_fill(~answers.mask, 0.0)
    return masked


def answer_values(critic: Any, answers: Answers) -> torch.Tensor:
    """The critic's estimate before every token of the answers, (answers, tokens), float32; 0 outside the mask.

    Args:
        critic: A sequence classifier with one label: a body, and a linear layer ``score`` on its hidden states.
        answers: Sampled before.
    """
    import torch

    body = getattr(critic, critic.base_model_prefix)
    hidden = body(input_ids=answers.ids, use_cache=False).last_hidden_state
    rows = torch.arange(len(answers), device=hidden.device)[:, None]
    values = critic.score(hidden[rows, answers.places]).squeeze(-1).float()
    masked: torch.Tensor = values.masked_fill(~answers.mask, 0.0)
    return masked
