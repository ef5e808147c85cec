"""What a recipe says about reinforcement from a reward."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from train.backends import BackendSettings

__all__ = ["PpoSettings"]

Share = Annotated[float, Field(ge=0, le=1)]


class PpoSettings(BackendSettings):
    """Settings of ``backend: {ppo: {reward: ...}}``.

    A step samples an answer to each of ``batch_size * accumulate`` prompts and learns from them.

    Attributes:
        reward: A folder made with ``objective: reward``; or ``module:function``, called as
            ``reward(prompts=..., completions=..., completion_ids=...)``, which returns a number for each answer.
        max_answer: Longest answer in tokens.
        temperature: Of sampling.
        passes: Times that every answer is learnt from before new ones are sampled.
        ratio: Half the width of the interval around 1 in which the ratio of new to old probability counts; .2 as in
            the paper (arXiv 1707.06347).
        discount: Of later rewards; 1, since an answer is judged as a whole.
        decay: ``lambda`` of generalised advantage estimation (arXiv 1506.02438); .95.
        kl: Weight of the penalty for leaving the start model, per nat, at the start; 0 for none.
        kl_target: Nats per answer that the weight is steered towards (arXiv 1909.08593); null keeps the weight.
        critic_rate: Peak learning rate of the critic; that of the policy where it is not given.
    """

    reward: str = Field(min_length=1)
    max_answer: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    passes: int = Field(default=4, ge=1)
    ratio: float = Field(default=0.2, gt=0, lt=1)
    discount: Share = 1.0
    decay: Share = 0.95
    kl: float = Field(default=0.05, ge=0)
    kl_target: float | None = Field(default=6.0, gt=0)
    critic_rate: float | None = Field(default=None, gt=0)
