"""Reinforcement from a reward by proximal policy optimisation; the step itself is in :mod:`train.ppo`."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from datakit.core.adapters import switched_off
from datakit.core.checkpoint import load_model
from train.backends import Job, Outcome
from train.errors import TrainError
from train.events import StepDone
from train.loop import adamw, peak
from train.ppo.history import History
from train.ppo.learner import Learner
from train.ppo.rewards import Judge, function_judge, model_judge
from train.ppo.rollout import Answers, answer_logprobs
from train.ppo.settings import PpoSettings
from train.resuming import after_step, resume
from train.retention.reference import has_switch
from train.schedules import rate_factor, warmup_steps
from train.signals import waiting_signals
from train.snapshot import Parts

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from train.config import Arm
    from train.masking import Row

__all__ = ["Ppo"]


class Ppo:
    """Samples answers to the training prompts, has them judged, and learns from that; the critic is thrown away.

    The answers in the dataset are not learnt; the validation loss is still theirs.
    """

    Params: ClassVar[type[BaseModel]] = PpoSettings
    follows: ClassVar[frozenset[str] | None] = frozenset(
        {"learning_rate", "schedule", "warmup", "weight_decay", "clip", "save_every", "checkpoints"}
    )
    loads: ClassVar[bool] = True

    def check(self, arm: Arm, settings: Any) -> str | None:
        """It takes conversations."""
        return None if arm.objective == "sft" else f"it learns from a reward, not by objective {arm.objective}"

    def train(self, job: Job, folder: Path) -> Outcome:
        """Trains the policy and writes it; goes on from the newest saved state."""
        import torch

        policy, settings = job.load(), job.settings
        judge, critic = _judge_and_critic(job, policy.device)
        optimizer = _optimizer(policy, critic, job)
        learner = Learner(
            policy,
            critic,
            reference=_reference(policy, temperature=settings.temperature),
            judge=judge,
            settings=settings,
            optimizer=optimizer,
            stops=job.ready.stop_tokens,
            pad=job.ready.pad,
            batch_size=job.arm.batch_size,
            clip=job.arm.clip,
        )
        history = History()
        models = torch.nn.ModuleDict({"policy": policy, "critic": critic})
        parts = Parts(models, optimizer, history, [learner.penalty])
        done = resume(parts, job.states, steps=job.steps, report=job.report)
        if not done:
            _measure(learner, history, job, step=0)
        with waiting_signals() as signal:
            history.resume()
            rest = itertools.islice(job.stream.after(done), job.steps - done)
            for step, rows in enumerate(rest, start=done + 1):
                rate = _set_rates(optimizer, job, step)
                found = learner.step([_prompt(row, job) for row in rows])
                history.add(step, found, rate)
                counts = (history.tokens, history.tokens, history.seconds)
                job.report(StepDone(step, job.steps, found.loss, rate, found.norm, *counts))
                history.pause()
                job.keep(step, policy)
                history.resume()
                after_step(job.states, parts, step, steps=job.steps, signal=signal, report=job.report)
            history.pause()
        _measure(learner, history, job, step=job.steps)
        job.write(policy, folder)
        return Outcome(max(history.seconds, 1e-6), history.tokens, history.tokens, history.entries)


def _prompt(row: Row, job: Job) -> NDArray[np.int32]:
    """The row up to its answer.

    Raises:
        TrainError: It leaves no room for an answer.
    """
    start = int(row.trained.argmax())
    if start + job.settings.max_answer > job.ready.max_length:
        raise TrainError(
            f"the prompt has {start} tokens, with max_answer {job.settings.max_answer} that is more than "
            f"max_length {job.ready.max_length}",
            where=f"row {row.id}",
            hint="Lower max_answer, or filter long prompts",
        )
    return row.ids[:start]


def _measure(learner: Learner, history: History, job: Job, *, step: int) -> None:
    """Mean reward and KL over the validation prompts; the draws of training are left alone."""
    import torch

    rows = job.ready.validation.rows
    if not rows:
        return
    device = learner.policy.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        history.measured(step, learner.measure([row.ids[: int(row.trained.argmax())] for row in rows]))


def _optimizer(policy: Any, critic: Any, job: Job) -> torch.optim.Optimizer:
    """One for both, so that it is saved as a whole; a group knows its peak rate."""
    rates = {"policy": peak(job.arm), "critic": job.settings.critic_rate or peak(job.arm)}
    groups = []
    for name, model in (("policy", policy), ("critic", critic)):
        own = adamw([value for value in model.parameters() if value.requires_grad], weight_decay=job.arm.weight_decay)
        groups += [{**group, "peak": rates[name]} for group in own.param_groups]
    return type(own)(groups, fused=True)


def _set_rates(optimizer: torch.optim.Optimizer, job: Job, step: int) -> float:
    """Sets the rates of policy and critic; returns the policy's."""
    arm = job.arm
    factor = rate_factor(arm.schedule, step - 1, steps=job.steps, warmup=warmup_steps(arm.warmup, job.steps))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return peak(arm) * factor


def _judge_and_critic(job: Job, device: Any) -> tuple[Judge, Any]:
    """The critic starts as the reward model where there is one, as in InstructGPT; otherwise as the start model."""
    reward, tokenizer = job.settings.reward, job.ready.tokenizer
    folder = Path(reward).expanduser()
    if found := next((place for place in (job.imports / folder, folder) if place.is_dir()), None):
        judge, judging = model_judge(found, tokenizer, device=device)
        return judge, copy.deepcopy(judging).requires_grad_(True)
    critic = load_model(job.ready.folder, dtype="float32", architecture="reward").to(device)
    return function_judge(reward, tokenizer, folder=job.imports), critic.requires_grad_(True)


def _reference(model: Any, *, temperature: float) -> Callable[[Answers], torch.Tensor]:
    """Log-probabilities under the start model: the adapter switched off, or a frozen copy."""
    import torch

    frozen = None
    if not has_switch(model):
        frozen = copy.deepcopy(model).requires_grad_(False).eval()

    def logprobs(answers: Answers) -> torch.Tensor:
        with torch.no_grad():
            if frozen is not None:
                return answer_logprobs(frozen, answers, temperature=temperature)
            with switched_off(model):
                return answer_logprobs(model, answers, temperature=temperature)

    return logprobs
