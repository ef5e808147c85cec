"""The training loop, read from top to bottom."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from train.config import Arm
from train.data import Batch, Stream, batches
from train.errors import OutOfMemory
from train.events import Event
from train.journal import Journal
from train.keeping import Keeper
from train.losses import nll_sum
from train.masking import Row
from train.schedules import rate_factor, warmup_steps

if TYPE_CHECKING:
    import torch

__all__ = ["Probe", "memory_errors", "run_steps", "validation_loss"]

Probe = Callable[[Any, int], Mapping[str, float]]

_LOG_EVERY = 10  # a look at the loss makes a GPU wait for it; on the CPU it is free and every step is looked at


def run_steps(
    model: Any,
    stream: Stream,
    validation: Sequence[Batch],
    arm: Arm,
    *,
    steps: int,
    pad: int,
    bfloat16: bool = False,
    probe: Probe | None = None,
    keeper: Keeper | None = None,
    report: Callable[[Event], None] = lambda event: None,
) -> Journal:
    """Trains the parameters that have ``requires_grad``, in place.

    Args:
        model: On its device. What is trained is float32.
        stream: Rows of every step.
        validation: Batches to validate on before the first step, after each epoch and at the end.
        arm: A concrete arm.
        steps: Optimizer steps.
        pad: Token id to pad with.
        bfloat16: Compute in bfloat16; the float32 parameters are the masters that small updates need.
        probe: Called at every validation.
        keeper: Saves the weights after the steps it names.
        report: Receives StepDone and Validated.

    Raises:
        Diverged: The loss, the gradient or the validation loss became NaN or infinite.
    """
    from torch.nn.utils import clip_grad_norm_

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = _adamw(parameters, weight_decay=arm.weight_decay)
    warmup = warmup_steps(arm.warmup, steps)
    log_every = 1 if model.device.type == "cpu" else _LOG_EVERY
    journal = Journal(steps, report)
    kept = keeper.steps if keeper else frozenset()
    _validate(model, validation, journal, step=0, bfloat16=bfloat16, probe=probe)

    for step, rows in enumerate(itertools.islice(stream, steps), start=1):
        rate = _peak(arm) * rate_factor(arm.schedule, step - 1, steps=steps, warmup=warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        nll = _backward(model, rows, batch_size=arm.batch_size, pad=pad, bfloat16=bfloat16)
        norm = clip_grad_norm_(parameters, arm.clip or math.inf)
        journal.count(rows, nll)
        if step % log_every == 0 or step == steps or step in kept:
            journal.log(step, learning_rate=rate, norm=norm)  # before the update: a NaN stays out of the weights
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if keeper and step in kept:
            journal.pause()
            keeper(step)
            journal.resume()
        if step % stream.steps_per_epoch == 0 or step == steps:
            _validate(model, validation, journal, step=step, bfloat16=bfloat16, probe=probe)
    return journal


def _backward(model: Any, rows: Sequence[Row], *, batch_size: int, pad: int, bfloat16: bool) -> torch.Tensor:
    """Adds the gradient of one step's loss; returns its summed NLL.

    The divisor is the number of trained tokens of the whole step, so accumulating batches equals one large batch.
    """
    import torch

    trained = sum(int(row.trained.sum()) for row in rows)
    total = torch.zeros((), device=model.device)
    for batch in batches(rows, batch_size=batch_size, pad=pad):
        with _computing(model, bfloat16=bfloat16):
            nll = nll_sum(model, batch.to(model.device))
        torch.autograd.backward(nll / trained)
        total += nll.detach()
    return total


def validation_loss(model: Any, validation: Sequence[Batch], *, bfloat16: bool = False) -> float | None:
    """Mean nats per trained token over all batches, without dropout; None where there are none."""
    import torch

    if not validation:
        return None
    with torch.inference_mode(), _computing(model, bfloat16=bfloat16):
        total = sum((nll_sum(model, batch.to(model.device)).double() for batch in validation), start=torch.tensor(0.0))
    return float(total) / sum(len(batch.targets) for batch in validation)


def _validate(
    model: Any, validation: Sequence[Batch], journal: Journal, *, step: int, bfloat16: bool, probe: Probe | None
) -> None:
    import torch

    journal.pause()
    model.eval()
    loss = validation_loss(model, validation, bfloat16=bfloat16)
    measured: Mapping[str, float] = {}
    if probe is not None:
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # a probe that draws random numbers does not change the training
            measured = probe(model, step)
    journal.validated(step, loss, measured)
    model.train()
    journal.resume()


def _adamw(parameters: Sequence[Any], *, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101); matrices decay, biases and norms do not."""
    import torch

    groups = [
        {"params": [value for value in parameters if value.ndim >= 2], "weight_decay": weight_decay},
        {"params": [value for value in parameters if value.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def _peak(arm: Arm) -> float:
    if isinstance(arm.learning_rate, list):
        raise TypeError("a grid cannot be trained")
    return arm.learning_rate


def _computing(model: Any, *, bfloat16: bool) -> contextlib.AbstractContextManager[Any]:
    import torch

    return torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16)


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
