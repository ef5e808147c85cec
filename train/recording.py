"""A training's pass, forward and back, recorded on a few short batches; no weight changes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from train.adapters.interventions import shown_prompts
from train.allocations import Pass, Recorded, Size, Spread, Taken, pass_of, recorded, spread_of
from train.loop import computing
from train.masking import Row
from train.memory import width
from train.objectives import Drawing, Referring
from train.packing import pack
from train.process import forget_highest, give_back, highest_resident, resident

if TYPE_CHECKING:
    from train.loop import Training

__all__ = ["SHORT", "recorded_pass"]

SHORT = 128  # tokens of a row that is recorded
_SEVERAL, _ROWS = 512, 16  # tokens, and rows at most, of the batch whose room is looked at
_SEED = 0  # of what is drawn in a pass: the same in each, so that the same general rows take part


def recorded_pass(training: Training, rows: Sequence[Any]) -> tuple[Pass, Spread] | None:
    """How the blocks of a pass grow with the batch, and how they spread; None where that cannot be told.

    Args:
        training: Its model in training mode, with what is recomputed and added to the loss.
        rows: Training rows.
    """
    model = training.model
    order = sorted(rows, key=width)
    short = [row for row in order if width(row) <= SHORT] or order[:1]
    row, other = (_end(_ready(training, found), SHORT) for found in (short[len(short) // 2], short[-1]))
    packs = training.attention is not None
    seen = [[each] * max(2, min(_SEVERAL // width(each), _ROWS)) for each in (row, other)]
    if width(other) == width(row):
        del seen[1]
    batches = [[row] * 2, [row] * 4, [other] * 2]  # a single row takes other ways here and there
    if packs:  # one behind the other: a row twice as long, for two would be two calls
        if width(other) == width(row):
            other = _end(row, max(2, width(row) // 2))
        batches = [[row], [_twice(row)], [other]]
    if width(other) == width(row) or not other.trained_tokens:
        del batches[2]
    taken = _taken(training, seen)
    found = [_record(training, batch) for batch in batches]
    vocabulary = int(model.config.get_text_config().vocab_size)
    told = pass_of(found[0], found[1], found[2] if len(found) > 2 else None, vocabulary=vocabulary)
    return None if told is None else (told, spread_of(told, taken))


def _ready(training: Training, row: Any) -> Any:
    """A row as the loop meets it: drawn, and compared with the start model."""
    objective, model = training.objective, training.model
    if isinstance(objective, Drawing):
        row = objective.draw(row, random.Random(_SEED))
    if isinstance(objective, Referring):
        model.eval()
        (row,) = objective.refer(model, [row], batch_size=1, pad=training.pad)
        model.train()
    return row


def _end(row: Any, tokens: int) -> Any:
    """The last tokens of a row, where those are that are trained; the first of them has nothing before it."""
    if not isinstance(row, Row) or len(row) <= tokens:
        return row  # pairs, and what an encoder sees, stay as they are
    trained = row.trained[-tokens:].copy()
    trained[0] = False
    weights = None if row.weights is None else row.weights[-tokens:] * trained
    return replace(row, ids=row.ids[-tokens:], trained=trained, weights=weights)


def _twice(row: Any) -> Any:
    import numpy as np

    weights = None if row.weights is None else np.tile(row.weights, 2)
    return replace(row, ids=np.tile(row.ids, 2), trained=np.tile(row.trained, 2), weights=weights)


def _size(rows: Sequence[Any], *, packs: bool) -> Size:
    lengths = [width(row) for row in rows]
    if not packs:
        lengths = [max(lengths)] * len(lengths)
    return Size(sum(lengths), sum(length**2 for length in lengths), sum(row.trained_tokens for row in rows))


def _taken(training: Training, batches: Sequence[Sequence[Any]]) -> Taken:
    """What the process takes for batches one after the other; one of another size leaves holes that do not fit."""
    packs = training.attention is not None
    sizes = [_size(rows, packs=packs) for rows in batches]
    give_back()
    before = resident()
    known = forget_highest()
    ahead, most = [], 0
    for rows in batches:
        forward, backward = _pass(training, rows)
        loss = forward()
        ahead.append(resident())
        backward(loss)
        most = max(most, highest_resident() if known else max(ahead[-1], resident()))
        del loss
        for value in _trained(training):
            value.grad = None
    largest = max(sizes, key=lambda size: size.tokens)
    return Taken(ahead[0] - before, sizes[0], most - before, largest)


def _trained(training: Training) -> list[Any]:
    return [value for value in training.model.parameters() if value.requires_grad]


def _record(training: Training, rows: Sequence[Any]) -> Recorded:
    import torch

    trained = _trained(training)
    with torch.no_grad():
        for parameter in trained:
            parameter.mul_(1)  # as after a step: what an adapter does when its weights have moved belongs to a pass
    found = recorded(*_pass(training, rows), _size(rows, packs=training.attention is not None))
    for parameter in trained:
        parameter.grad = None
    return found


def _pass(training: Training, rows: Sequence[Any]) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """One batch as the loop passes it (:func:`train.loop.run_steps`), forward and back."""
    import torch

    model, objective = training.model, training.objective
    batch = pack(rows) if training.attention is not None else objective.collate(rows, pad=training.pad)
    batch = batch.to(model.device)

    def forward() -> Any:
        with torch.random.fork_rng(), training.attention or contextlib.nullcontext(), training.passes:
            torch.manual_seed(_SEED)
            with computing(model, bfloat16=training.bfloat16), shown_prompts(model, batch):
                loss = objective.loss(model, batch)
                terms = [term(model, batch, loss) for term in training.against.terms]
            return sum(terms, start=loss.total), loss

    def backward(made: Any) -> None:
        with torch.random.fork_rng(), training.attention or contextlib.nullcontext(), training.passes:
            torch.autograd.backward(made[0])

    return forward, backward
