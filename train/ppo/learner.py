"""A step of proximal policy optimisation, read from top to bottom: sample, judge, estimate, learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.errors import Diverged
from train.ppo.advantages import gae, whitened
from train.ppo.losses import policy_loss, value_loss
from train.ppo.penalty import Penalty
from train.ppo.rewards import Judge
from train.ppo.rollout import Answers, answer_logprobs, answer_values, sample
from train.ppo.settings import PpoSettings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["Learner", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        reward: Mean reward of the answers.
        kl: Mean nats per answer by which the policy left the start model.
        kl_weight: Of the penalty in this step.
        loss: Policy loss per token, mean over the updates.
        norm: Largest norm of the policy's gradient, before clipping.
        clipped: Share of tokens whose ratio left the interval, in the last pass.
        complete: Share of answers that ended by themselves.
        answer_tokens: Tokens said.
    """

    reward: float
    kl: float
    kl_weight: float
    loss: float
    norm: float
    clipped: float
    complete: float
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class _Estimated:
    """Answers with what is known of them before learning; everything (answers, tokens) and without a gradient."""

    answers: Answers
    logprobs: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


class Learner:
    """Policy, critic and penalty, and one method that makes a step.

    Everything runs without dropout: the ratio of new to old probability has to be 1 before the first update.

    Args:
        policy: A causal language model; what has ``requires_grad`` is trained.
        critic: A sequence classifier with one label.
        reference: Log-probabilities of the start model for some answers, (answers, tokens).
        judge: Gives every answer its reward.
        settings: See :class:`train.ppo.settings.PpoSettings`.
        optimizer: Of policy and critic, each in groups of its own.
        stops: Token ids that end an answer.
        pad: Token id to pad with.
        batch_size: Answers per update.
        clip: Largest norm of a gradient; None for no clipping.
    """

    def __init__(
        self,
        policy: Any,
        critic: Any,
        *,
        reference: Callable[[Answers], torch.Tensor],
        judge: Judge,
        settings: PpoSettings,
        optimizer: torch.optim.Optimizer,
        stops: Sequence[int],
        pad: int,
        batch_size: int,
        clip: float | None,
    ) -> None:
        self.policy, self.critic, self.settings = policy, critic, settings
        self.penalty = Penalty(settings.kl, settings.kl_target)
        self._reference, self._judge = reference, judge
        self._optimizer = optimizer
        self._trained = (_trained(policy), _trained(critic))
        self._stops, self._pad = list(stops), pad
        self._batch_size, self._clip = batch_size, clip

    def answers(self, prompts: Sequence[NDArray[np.int32]]) -> tuple[Answers, torch.Tensor]:
        """One sampled answer per prompt, and its reward, (answers,)."""
        import torch

        answers = sample(
            self.policy,
            prompts,
            stops=self._stops,
            pad=self._pad,
            max_answer=self.settings.max_answer,
            temperature=self.settings.temperature,
        )
        return answers, torch.tensor(self._judge(answers), device=answers.ids.device)

    def measure(self, prompts: Sequence[NDArray[np.int32]]) -> dict[str, float]:
        """Mean reward, and nats per answer by which the policy left the start model, over one answer per prompt."""
        import torch

        self.policy.eval()
        rewards, leaving = 0.0, 0.0
        for start in range(0, len(prompts), self._batch_size):
            answers, scores = self.answers(prompts[start : start + self._batch_size])
            with torch.no_grad():
                logprobs = answer_logprobs(self.policy, answers, temperature=self.settings.temperature)
                leaving += float(((logprobs - self._reference(answers)) * answers.mask).sum())
            rewards += float(scores.sum())
        return {"reward": rewards / len(prompts), "kl": leaving / len(prompts)}

    def step(self, prompts: Sequence[NDArray[np.int32]]) -> Step:
        """Samples an answer to every prompt and learns from it.

        Raises:
            TrainError: The reward gave no number.
            Diverged: The loss became NaN or infinite.
        """
        self.policy.eval()
        self.critic.eval()
        answers, scores = self.answers(prompts)
        estimated, kl = self._estimate(answers, scores)
        weight = self.penalty.weight
        losses, norms, clipped = [], [0.0], 0.0
        for _ in range(self.settings.passes):
            clipped = 0.0
            for start in range(0, len(answers), self._batch_size):
                loss, norm, left = self._update(estimated, slice(start, start + self._batch_size))
                losses.append(loss)
                norms.append(norm)
                clipped += left
        self.penalty.steer(kl, answers=len(answers))
        return Step(
            reward=float(scores.mean()),
            kl=kl,
            kl_weight=weight,
            loss=sum(losses) / len(losses),
            norm=max(norms),
            clipped=clipped / max(1, int(answers.mask.sum())),
            complete=float(answers.complete.float().mean()),
            answer_tokens=int(answers.mask.sum()),
        )

    def _estimate(self, answers: Answers, scores: torch.Tensor) -> tuple[_Estimated, float]:
        """Rewards per token (the penalty everywhere, the score at the last token), advantages and returns."""
        import torch

        settings = self.settings
        with torch.no_grad():
            logprobs = answer_logprobs(self.policy, answers, temperature=settings.temperature)
            leaving = (logprobs - self._reference(answers)) * answers.mask
            values = answer_values(self.critic, answers)
            rewards = -self.penalty.weight * leaving
            rows = torch.arange(len(answers), device=rewards.device)
            rewards[rows, answers.mask.sum(1) - 1] += scores
            advantages = gae(rewards, values, answers.mask, discount=settings.discount, decay=settings.decay)
            returns = advantages + values
            estimated = _Estimated(answers, logprobs, values, whitened(advantages, answers.mask), returns)
        return estimated, float(leaving.sum(1).mean())

    def _update(self, estimated: _Estimated, part: slice) -> tuple[float, float, float]:
        """One update of policy and critic from some answers: policy loss per token, gradient norm, tokens clipped."""
        import torch
        from torch.nn.utils import clip_grad_norm_

        answers = estimated.answers.rows(part)
        tokens = int(answers.mask.sum())
        clip = self.settings.ratio
        logprobs = answer_logprobs(self.policy, answers, temperature=self.settings.temperature)
        old = estimated.logprobs[part]
        loss = policy_loss(logprobs, old, estimated.advantages[part], answers.mask, clip=clip) / tokens
        values = answer_values(self.critic, answers)
        error = value_loss(values, estimated.values[part], estimated.returns[part], answers.mask, clip=clip) / tokens
        torch.autograd.backward(loss + error)
        norms = [float(clip_grad_norm_(trained, self._clip or math.inf)) for trained in self._trained]
        found = (float(loss.detach()), *norms)
        if not all(map(math.isfinite, found)):
            raise Diverged(
                f"the policy loss became {found[0]}, the gradients {found[1]} and {found[2]}",
                hint="Lower learning_rate or ratio; no model was written",
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        left = ((torch.exp(logprobs.detach() - old) - 1).abs() > clip) & answers.mask
        return found[0], norms[0], float(left.sum())


def _trained(model: Any) -> list[Any]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
