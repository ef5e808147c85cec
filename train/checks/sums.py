"""Whether the loss of several rows together is the sum of their losses one by one, on the model that is trained.

It holds what accumulation, cutting by length and padding rest on, and what packing has to keep: no row sees another.
Looked at in evaluation mode and in training mode (without dropout), since models and attention differ in both.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from train.adapters.interventions import shown_prompts
from train.checks import Finding
from train.errors import Diverged, TrainError
from train.objectives import Drawing, Objective

if TYPE_CHECKING:
    from torch import nn

__all__ = ["check_start", "check_sums", "few_rows", "without_dropout"]

_ROWS, _TOKENS, _LOOKED_AT = 3, 1024, 256
#: Relative difference that rounding explains, in float32 and in bfloat16.
_ROUNDING, _ROUNDING_16 = 1e-3, 3e-2


def few_rows(rows: Sequence[Any], objective: Objective) -> list[Any]:
    """A few short rows of different lengths, so that a look at them costs next to nothing."""
    found: list[Any] = []
    tokens = 0
    for row in sorted(rows[:_LOOKED_AT], key=len):
        if found and (len(row) == len(found[-1]) or tokens + len(row) > _TOKENS):
            continue
        found.append(row)
        tokens += len(row)
        if len(found) == _ROWS:
            break
    if isinstance(objective, Drawing):
        return [objective.draw(row, random.Random(number)) for number, row in enumerate(found)]
    return found


def check_sums(model: Any, objective: Objective, rows: Sequence[Any], *, pad: int, rounded: bool) -> Finding:
    """One batch of rows has the loss of the rows one by one, in both modes; the model comes back in training mode.

    Args:
        model: On its device.
        objective: Its loss is looked at.
        rows: From :func:`few_rows`.
        pad: Token id to pad with.
        rounded: Computed in bfloat16.

    Raises:
        TrainError: It has not: the model mixes rows or counts padding.
        Diverged: A loss is no number.
    """
    allowed = _ROUNDING_16 if rounded else _ROUNDING
    if len(rows) < 2:
        return Finding("sums", True, "too few rows of different lengths to compare")
    model.eval()
    single = [_total(model, objective, [row], pad) for row in rows]
    together = {"evaluation": _total(model, objective, rows, pad)}
    with without_dropout(model):
        together["training"] = _total(model, objective, rows, pad)
    for total in (*single, *together.values()):
        if not math.isfinite(total):
            raise Diverged(
                f"the loss is {total} before the first step",
                hint="Does the model have weights that are NaN? Does it need another precision?",
            )
    for mode, total in together.items():
        if not math.isclose(total, sum(single), rel_tol=allowed, abs_tol=allowed):
            raise TrainError(
                f"{len(rows)} rows together have the loss {total:.5g} in {mode} mode, one by one {sum(single):.5g}: "
                "the model lets rows or padding reach each other",
                hint="Set batch_size 1, and tell us which model it is",
            )
    return Finding("sums", True, f"{len(rows)} rows together have the loss of each alone, in both modes")


def check_start(model: Any, objective: Objective, rows: Sequence[Any], *, pad: int) -> Finding | None:
    """The first loss is what the objective says it must be (``starts_at``: ln 2 for a pair compared with itself).

    Raises:
        TrainError: It is another: the reference is not the model that is trained.
    """
    expected: float | None = getattr(objective, "starts_at", None)
    if expected is None or not rows:
        return None
    model.eval()
    found = _total(model, objective, rows, pad) / sum(row.weight for row in rows)
    model.train()
    if not math.isclose(found, expected, abs_tol=1e-2):
        raise TrainError(
            f"the first loss is {found:.4f} per row, and has to be {expected:.4f}: "
            "the model is not the one that it is compared with",
            hint="Train from the weights that the reference came from",
        )
    return Finding("start", True, f"the first loss is {expected:.4f} per row, as it has to be")


def _total(model: Any, objective: Objective, rows: Sequence[Any], pad: int) -> float:
    import torch

    batch = objective.collate(rows, pad=pad).to(model.device)
    with torch.no_grad(), shown_prompts(model, batch):
        return float(objective.loss(model, batch).total)


@contextlib.contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Training mode in which nothing is dropped; afterwards plain training mode."""
    model.train()
    rates: list[tuple[Any, float]] = []
    for part in model.modules():
        if "Dropout" in type(part).__name__:
            part.eval()
        elif isinstance(rate := getattr(part, "attention_dropout", None), float) and rate:
            rates.append((part, rate))
            vars(part)["attention_dropout"] = 0.0
    try:
        yield
    finally:
        for part, rate in rates:
            vars(part)["attention_dropout"] = rate
        model.train()
