"""What a recipe says about reinforcement from a reward."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Ppo"]

Share = Annotated[float, Field(ge=0, le=1)]


class Ppo(BaseModel):
    """Settings of ``objective: ppo``; a step samples ``batch_size * accumulate`` answers and learns from them.

    Attributes:
        reward: A folder made with ``objective: reward``, or ``module:function`` that takes the prompts and the answers
            (two lists of strings) and returns a number for each.
        max_answer: Longest answer in tokens.
        temperature: Of sampling.
        passes: Times that every answer is learnt from before new ones are sampled.
        clip: Half the width of the interval that the ratio of new to old probability counts in; .2 as in the paper.
        discount: Of later rewards; 1, since an answer is judged as a whole.
        decay: ``lambda`` of generalised advantage estimation; .95 as in the paper.
        kl: Weight of the penalty for leaving the start model, per nat, at the start; 0 for none.
        kl_target: Nats per answer that the weight is steered towards (Ziegler et al., arXiv 1909.08593); null keeps
            the weight as it is.
        critic_rate: Peak learning rate of the critic; that of the policy where it is not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reward: str = Field(min_length=1)
    max_answer: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    passes: int = Field(default=4, ge=1)
    clip: float = Field(default=0.2, gt=0, lt=1)
    discount: Share = 1.0
    decay: Share = 0.95
    kl: float = Field(default=0.05, ge=0)
    kl_target: float | None = Field(default=6.0, gt=0)
    critic_rate: float | None = Field(default=None, gt=0)
