"""The training loop, read from top to bottom."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from train.adapters.interventions import shown_prompts
from train.attention import DocumentAttention
from train.callbacks import Callback, Moment
from train.callbacks.watch import Watch
from train.config import Arm
from train.data import Stream, batches
from train.errors import OutOfMemory
from train.events import Event, Stopped
from train.journal import Journal
from train.objectives import Measuring, Objective, Sample
from train.packing import packed
from train.parallel import ALONE, Group
from train.resuming import resume, save_state
from train.retention.terms import Terms
from train.schedules import rate_factor, warmup_steps
from train.signals import Waiting, waiting_signals
from train.snapshot import Parts
from train.states import States

if TYPE_CHECKING:
    import torch

__all__ = [
    "Probe",
    "Training",
    "adamw",
    "computing",
    "memory_errors",
    "peak",
    "recompute",
    "run_steps",
    "validation_loss",
]

Probe = Callable[[Any, int], Mapping[str, float]]

_LOG_EVERY = 10  # a look at the loss makes a GPU wait for it; on the CPU it is free and every step is looked at


@dataclass(frozen=True, slots=True)
class Training:
    """All that a training needs, loaded and checked.

    Attributes:
        model: On its device. What is trained is float32.
        objective: Makes batches of rows, and a loss of a batch.
        stream: Rows of every step.
        validation: Batches to validate on before the first step, after each epoch and at the end.
        arm: A concrete arm.
        steps: Optimizer steps.
        pad: Token id to pad with.
        against: Added to the loss, against forgetting.
        watch: Looks at every validation, may end the training and choose its best state.
        bfloat16: Compute in bfloat16; the float32 parameters are the masters that small updates need.
        attention: Rows are packed and attended to by it; None where they stand side by side.
        passes: Around the steps alone: what is validated or probed is the model as it will be loaded, to the last bit.
        group: The processes that train together.
    """

    model: Any
    objective: Objective
    stream: Stream
    validation: Sequence[Any]
    arm: Arm
    steps: int
    pad: int
    against: Terms = field(default_factory=Terms)
    watch: Watch | None = None
    bfloat16: bool = False
    attention: DocumentAttention | None = None
    passes: contextlib.AbstractContextManager[Any] = field(default_factory=contextlib.nullcontext)
    group: Group = ALONE


def run_steps(
    training: Training,
    *,
    probe: Probe | None = None,
    callbacks: Sequence[Callback] = (),
    states: States | None = None,
    report: Callable[[Event], None] = lambda event: None,
) -> Journal:
    """Trains the parameters that have ``requires_grad``, in place.

    With ``states`` it goes on from the newest of them, as if it had never stopped, and SIGINT and SIGTERM take effect
    after the step in progress, when its state is saved.

    Args:
        training: What to train on what.
        probe: Called at every validation.
        callbacks: Asked after every step.
        states: Where the training's state is saved; None saves nothing.
        report: Receives Resumed, StepDone, Validated and Stopped.

    Raises:
        Diverged: The loss, the gradient or the validation loss became NaN or infinite.
    """
    from torch.nn.utils import clip_grad_norm_

    model, arm, steps = training.model, training.arm, training.steps
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = adamw(parameters, weight_decay=arm.weight_decay)
    warmup = warmup_steps(arm.warmup, steps)
    log_every = 1 if model.device.type == "cpu" else _LOG_EVERY
    journal = Journal(steps, report)
    parts = Parts(
        model, optimizer, journal, [*callbacks, *([training.watch] if training.watch else [])], training.group
    )
    step = done = resume(parts, states, steps=steps, report=report)
    if done:
        model.train()
        journal.resume()
    else:
        _validate(training, journal, step=0, probe=probe)

    with waiting_signals() if states is not None else contextlib.nullcontext(Waiting()) as signal:
        left = 0 if _ended(training) else steps - done
        for step, rows in enumerate(itertools.islice(training.stream.after(done), left), start=done + 1):
            rate = _set_rate(optimizer, arm, step, steps=steps, warmup=warmup)
            total = _backward(training, rows)
            _add_others(training, step)
            norm = training.group.whole(clip_grad_norm_(parameters, arm.clip or math.inf))
            journal.count(rows, total)
            due = [callback for callback in callbacks if callback.due(step)]
            ends = _signalled(training, signal, looks=step % log_every == 0 or step == steps)
            saves = states if states and (ends is not None or states.due(step, steps)) else None
            looks = _looks(training, step)
            if step % log_every == 0 or looks or due or saves:
                journal.log(step, learning_rate=rate, norm=norm)  # before the update: a NaN stays out of the weights
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            _call(due, Moment(step, steps, model, optimizer, journal))
            if looks:
                _validate(training, journal, step=step, probe=probe)
            if saves:
                save_state(saves, parts, step)
                if ends is not None:
                    signal.number = ends
                    report(Stopped(step, steps, signal.name))
                    signal.deliver()
            if _ended(training):
                break
    if training.watch is not None:
        journal.kept(training.watch.put_back(model, step), done=step, why=training.watch.ended)
    return journal


def _signalled(training: Training, signal: Waiting, *, looks: bool) -> int | None:
    """The signal that ends the training after this step; several processes have to end after the same one."""
    if not training.group.together:
        return signal.number
    return training.group.most(signal.number) if looks else None


def _looks(training: Training, step: int) -> bool:
    """Whether the model is validated after this step."""
    regular = step % training.stream.steps_per_epoch == 0 or step == training.steps
    return regular or (training.watch is not None and training.watch.due(step))


def _ended(training: Training) -> bool:
    return training.watch is not None and training.watch.ended is not None


def _set_rate(optimizer: torch.optim.Optimizer, arm: Arm, step: int, *, steps: int, warmup: int) -> float:
    rate = peak(arm) * rate_factor(arm.schedule, step - 1, steps=steps, warmup=warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _call(due: Sequence[Callback], moment: Moment) -> None:
    if due:
        moment.journal.pause()
        for callback in due:
            callback(moment)
        moment.journal.resume()


def _backward(training: Training, rows: Sequence[Sample]) -> torch.Tensor:
    """Adds the gradient of one step's loss; returns the objective's part of it, summed.

    The divisor is the weight of the whole step, so accumulating batches equals one large batch.
    """
    import torch

    model, objective, group = training.model, training.objective, training.group
    weight = sum(row.weight for row in rows)
    total = torch.zeros((), device=model.device)
    with training.attention or contextlib.nullcontext(), training.passes:
        for batch, counts in group.share(_batches(training, rows)):
            batch = batch.to(model.device)
            with computing(model, bfloat16=training.bfloat16), shown_prompts(model, batch):
                loss = objective.loss(model, batch)
                terms = [term(model, batch, loss) for term in training.against.terms]
            torch.autograd.backward(sum(terms, start=loss.total) * counts / weight)
            total += loss.total.detach() * (counts / group.size)
    return group.total(total)


def _add_others(training: Training, step: int) -> None:
    """Adds the gradient of what has rows of its own, counted likewise, and of what looks at the weights alone."""
    import torch

    model, arm, group = training.model, training.arm, training.group
    for rehearsal in training.against.rehearsals:
        rows = rehearsal.rows(step)
        weight, size = sum(row.weight for row in rows), group.rows_at_once(arm.batch_size, len(rows))
        for batch, counts in group.share(batches(rows, batch_size=size, pad=training.pad, tokens=arm.batch_tokens)):
            batch = batch.to(model.device)
            with computing(model, bfloat16=training.bfloat16), shown_prompts(model, batch):
                found = rehearsal(model, batch)
            torch.autograd.backward(found * counts / weight)
    for pull in training.against.pulls:
        if (value := pull()) is not None:
            torch.autograd.backward(value)


def _batches(training: Training, rows: Sequence[Any]) -> list[Any]:
    arm = training.arm
    size, tokens = training.group.rows_at_once(arm.batch_size, len(rows)), arm.batch_tokens
    if training.attention is not None:
        return packed(rows, batch_size=size, tokens=tokens)
    return batches(rows, batch_size=size, pad=training.pad, collate=training.objective.collate, tokens=tokens)


def validation_loss(training: Training) -> float | None:
    """Mean loss over the validation batches, per trained token or pair, without dropout; None where there are none."""
    import torch

    if not training.validation:
        return None
    model, objective = training.model, training.objective
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    group = training.group
    with torch.no_grad(), computing(model, bfloat16=training.bfloat16):
        for batch, counts in group.share(training.validation):
            with shown_prompts(model, batch):
                total += objective.loss(model, batch.to(model.device)).total.double() * (counts / group.size)
    weight = float(sum(batch.weight for batch in training.validation))
    return float(group.total(total)) / weight


def _validate(training: Training, journal: Journal, *, step: int, probe: Probe | None) -> None:
    import torch

    model = training.model
    journal.pause()
    model.eval()
    loss = validation_loss(training)
    measured: dict[str, float] = {}
    if training.validation and isinstance(training.objective, Measuring):
        measured |= training.objective.measure(model, training.validation)
    if probe is not None:
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # a probe that draws random numbers does not change the training
            measured |= training.group.agree(dict(probe(model, step)))  # one decides, where several measure alike
    journal.validated(step, loss, measured)
    if training.watch is not None:
        training.watch.look(model, step, loss, measured)
    model.train()
    journal.resume()


def adamw(parameters: Sequence[Any], *, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101); matrices decay, biases and norms do not."""
    import torch

    groups = [
        {"params": [value for value in parameters if value.ndim >= 2], "weight_decay": weight_decay},
        {"params": [value for value in parameters if value.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def peak(arm: Arm) -> float:
    """The peak learning rate of a concrete arm."""
    if isinstance(arm.learning_rate, list):
        raise TypeError("a grid cannot be trained")
    return arm.learning_rate


def computing(model: Any, *, bfloat16: bool) -> contextlib.AbstractContextManager[Any]:
    """Autocast to bfloat16 where it is wanted."""
    import torch

    return torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16)


def recompute(model: Any) -> None:
    """Activations of a block are computed again in the backward pass instead of kept."""
    options: dict[str, Any] = {"use_reentrant": False}
    if hasattr(model, "reft"):
        options["context_fn"] = model.reft.kept
    if hasattr(model, "activation_checkpointing_enable"):  # its name from transformers 5.2x on
        model.activation_checkpointing_enable(options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


@contextlib.contextmanager
def memory_errors(arm: Arm) -> Iterator[None]:
    """Turns running out of memory, on the GPU or the CPU, into :class:`OutOfMemory` that says what to change."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "not enough memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        half = max(1, arm.batch_size // 2)
        advice = [
            f"Set batch_size {half} and accumulate {arm.accumulate * 2} (the same training)"
            if arm.batch_size > 1
            else "",
            "a smaller max_length" if arm.batch_size > 1 else "Set a smaller max_length",
            "adapter lora" if arm.adapter == "full" else "",
        ]
        raise OutOfMemory(
            f"out of memory with batch_size {arm.batch_size} and adapter {arm.adapter}",
            hint=", or ".join(part for part in advice if part),
        ) from error
