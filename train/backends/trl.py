"""TRL's trainers on our rows: the tokens that are trained, their order and the schedule of the rate are ours."""

from __future__ import annotations

import contextlib
import math
import random
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from datakit.core.require import require
from train.backends import BackendSettings, Job, Outcome
from train.backends.trl_trainers import Made, make_trainer
from train.backends.written import versions_of
from train.errors import Diverged, TrainError
from train.events import StepDone

if TYPE_CHECKING:
    from train.config import Arm

__all__ = ["Trl", "TrlSettings"]

_ONLINE = ("grpo", "rloo")
_CHANGE_PROMPTS = ("loreft", "direft")
_MEASURED = ("reward", "reward_std", "kl", "rewards/margins", "rewards/accuracies", "completions/mean_length")


class TrlSettings(BackendSettings):
    """Settings of ``trl``.

    Attributes:
        trainer: ``sft``, ``dpo``, ``grpo`` or ``rloo``; by default the arm's objective.
        reward: What ``grpo`` and ``rloo`` learn from, ``module:function`` or a name of ``train.rewards``.
        completions: Answers drawn per prompt by ``grpo`` and ``rloo``; the rows of a step are a multiple of it.
        max_completion: Tokens of a drawn answer at most.
        temperature: They are drawn with.
        options: Further settings of TRL's own config class; those the arm decides are refused.
    """

    trainer: Literal["sft", "dpo", "grpo", "rloo"] | None = None
    reward: str | None = None
    completions: int = Field(default=4, ge=2)
    max_completion: int = Field(default=256, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    options: dict[str, Any] = Field(default_factory=dict)


class Trl:
    """SFT and DPO on rows, GRPO and RLOO on a reward function."""

    Params: ClassVar[type[BaseModel]] = TrlSettings
    follows: ClassVar[frozenset[str] | None] = frozenset(
        {"learning_rate", "schedule", "warmup", "weight_decay", "clip", "precision", "beta"}
    )
    loads: ClassVar[bool] = True

    def check(self, arm: Arm, settings: Any) -> str | None:
        """Objective, trainer and reward have to agree."""
        if arm.adapter in _CHANGE_PROMPTS:
            return f"TRL does not tell adapter {arm.adapter} where a prompt ends; native, ppo and mock do"
        trainer = settings.trainer or arm.objective
        online = trainer in _ONLINE
        rows = "sft" if online else trainer
        if trainer not in ("sft", "dpo", *_ONLINE):
            return f"objective '{arm.objective}' has no trainer there; sft and dpo have"
        if arm.objective != rows:
            return f"trainer {trainer} needs objective: {rows}"
        if online is (settings.reward is None):
            return f"trainer {trainer} needs a reward" if online else f"trainer {trainer} takes no reward"
        if online and arm.steps is None:
            return f"trainer {trainer} draws its answers, so its length is given in steps"
        if online and arm.batch_size * arm.accumulate % settings.completions:
            rows_per_step = arm.batch_size * arm.accumulate
            return f"{rows_per_step} rows per step are no multiple of completions, {settings.completions}"
        return None

    def train(self, job: Job, folder: Path) -> Outcome:
        """Runs the trainer in this process."""
        require("trl", extra="dev")
        with _random_states():
            made = make_trainer(job, job.settings.trainer or job.arm.objective)
            heard = _Heard(job, made)
            made.trainer.add_callback(heard.callback())
            started = time.perf_counter()
            try:
                with warnings.catch_warnings():
                    # TRL's trainer asks a model of transformers 5.23 for a name that is deprecated there
                    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
                    made.trainer.train()
            except (ValueError, TypeError, KeyError, ImportError) as error:
                raise TrainError(f"TRL: {' '.join(str(error).split())[:300]}") from error
            seconds = time.perf_counter() - started
        job.write(made.model, folder)
        return Outcome(
            max(seconds, 1e-6),
            trained_tokens=made.trained_tokens,
            tokens=made.tokens,
            history=heard.history,
            versions=versions_of("trl", "accelerate"),
            peak_memory=_peak(made.model),
        )


@contextlib.contextmanager
def _random_states() -> Iterator[None]:
    """TRL seeds Python and NumPy for the whole process; the caller gets theirs back."""
    import numpy as np

    state, numbers = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numbers)


class _Heard:
    """What the trainer logs, in our words."""

    def __init__(self, job: Job, made: Made) -> None:
        self.history: list[dict[str, Any]] = []
        self._job, self._made, self._started = job, made, time.perf_counter()

    def callback(self) -> Any:
        """For ``add_callback``."""
        from transformers import TrainerCallback

        class Tells(TrainerCallback):  # type: ignore[misc]
            def on_log(_self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs:
                    self.add(int(state.global_step), logs)

        return Tells()

    def add(self, step: int, logs: Mapping[str, Any]) -> None:
        """One step.

        Raises:
            Diverged: Loss or gradient is NaN or infinite.
        """
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        rate = self._made.rate(step - 1)
        for what, value in (("loss", loss), ("gradient", norm)):
            if not math.isfinite(value):
                raise Diverged(
                    f"the {what} became {value} at step {step} of {self._job.steps} (learning rate {rate:g})",
                    hint="Lower learning_rate, lengthen warmup or clip the gradient; no model was written",
                )
        measured = {key.replace("/", "_"): float(logs[key]) for key in _MEASURED if key in logs}
        entry = {"step": step, "loss": loss, "learning_rate": rate, "gradient_norm": norm}
        trained, tokens = self._made.counted(step)
        self.history.append({**entry, "weight": self._made.weight(step), **measured})
        seconds = time.perf_counter() - self._started
        self._job.report(StepDone(step, self._job.steps, loss, rate, norm, trained, tokens, seconds))


def _peak(model: Any) -> int | None:
    import torch

    return torch.cuda.max_memory_allocated() if model.device.type == "cuda" else None
