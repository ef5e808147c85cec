"""Packing: rows one behind the other in one sequence, so that nothing is padding, and none sees another.

Positions restart with every row, no attention mask is given (an all-ones mask would let rows see each other), and the
attention function is ours (:mod:`train.attention`): it attends within each row alone. Whether a model keeps to that is
measured before the first step (:func:`packing_is_exact`), because one that mixes neighbours in another way, by
convolution or state, would be trained on text that nobody wrote.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from train.adapters.interventions import shown_prompts
from train.attention import DocumentAttention, attends_by_document
from train.data import Batch, Documents, collate
from train.errors import TrainError
from train.losses import token_nll

if TYPE_CHECKING:
    import torch

    from train.masking import Row

__all__ = ["best_fit", "chosen_attention", "pack", "packed", "packing_is_exact"]

_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}  # nats per token; a row that sees another is off by far more
_CHECKED_ROWS, _CHECKED_TOKENS = 6, 256


def best_fit(lengths: Sequence[int], *, capacity: int, rows: int) -> list[list[int]]:
    """Best-fit decreasing: the longest first, each into the fullest bin that still takes it.

    Args:
        lengths: Tokens per row; one longer than the capacity has a bin of its own.
        capacity: Tokens of a bin.
        rows: Rows of a bin at most.

    Returns:
        Indices per bin.
    """
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, bin), ascending
    for index in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        at = bisect.bisect_left(room, (lengths[index], -1))
        if at == len(room):
            bins.append([])
            left, chosen = capacity, len(bins) - 1
        else:
            left, chosen = room.pop(at)
        bins[chosen].append(index)
        left -= lengths[index]
        if left > 0 and len(bins[chosen]) < rows:
            bisect.insort(room, (left, chosen))
    return bins


def pack(rows: Sequence[Row]) -> Batch:
    """Rows one behind the other, as one sequence."""
    import numpy as np
    import torch

    lengths = [len(row) for row in rows]
    ends = np.cumsum([0, *lengths])
    ids, trained = np.concatenate([row.ids for row in rows]), np.concatenate([row.trained for row in rows])
    targets = np.flatnonzero(trained)  # the first token of a row is never trained, so minus one stays in the row
    weights = None
    if any(row.weights is not None for row in rows):
        own = [row.trained.astype(np.float32) if row.weights is None else row.weights for row in rows]
        weights = torch.from_numpy(np.concatenate(own)[trained])
    return Batch(
        torch.from_numpy(ids.astype(np.int64, copy=False))[None],
        torch.from_numpy(targets - 1),
        torch.from_numpy(ids[targets].astype(np.int64, copy=False)),
        weights,
        Documents(
            torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))[None],
            torch.from_numpy(ends.astype(np.int32)),
            max(lengths),
        ),
    )


def packed(rows: Sequence[Row], *, batch_size: int, tokens: int | None = None) -> list[Batch]:
    """A step's rows in the fewest sequences.

    Args:
        rows: One optimizer step's rows.
        batch_size: Rows in a sequence at most.
        tokens: Tokens in a sequence at most, where a single row has no more.
    """
    lengths = [len(row) for row in rows]
    bins = best_fit(lengths, capacity=tokens or sum(lengths), rows=batch_size)
    return [pack([rows[index] for index in sorted(bin)]) for bin in bins]


def packing_is_exact(model: Any, rows: Sequence[Row], attention: DocumentAttention) -> bool:
    """Whether every trained token has the same loss in a packed sequence as in its row alone; no weight changes.

    Measured with dropout off, in evaluation and in training mode.

    Args:
        model: On its device.
        rows: Of the training data; a few short ones are enough.
        attention: Of the model.
    """
    import torch

    few = _few(rows)
    tolerance = _TOLERANCE["float32" if model.dtype == torch.float32 else "bfloat16"]
    trained = model.training
    try:
        for mode in (False, True):
            model.train(mode)
            for part in model.modules():
                if isinstance(part, torch.nn.modules.dropout._DropoutNd):
                    part.eval()
            with torch.no_grad(), torch.random.fork_rng([]):
                alone = _alone(model, few)
                if mode and not torch.equal(alone, _alone(model, few)):
                    continue  # dropout inside the attention function, which cannot be switched off
                batch = pack(few).to(model.device)
                with attention, shown_prompts(model, batch):
                    together = token_nll(model, batch)
            if together.shape != alone.shape or not bool(((together - alone).abs() <= tolerance).all()):
                return False
    except (TypeError, ValueError, RuntimeError, NotImplementedError, TrainError):
        return False  # a model that takes no positions, or an attention that ours cannot stand for
    finally:
        model.train(trained)
    return True


def _alone(model: Any, rows: Sequence[Row]) -> torch.Tensor:
    import torch

    found = []
    for row in rows:
        batch = collate([row], pad=0).to(model.device)
        with shown_prompts(model, batch):
            found.append(token_nll(model, batch))
    return torch.cat(found)


def _few(rows: Sequence[Row]) -> list[Row]:
    """Short rows, two at least: their ends, where a neighbour would be seen first, are what is looked at."""
    chosen: list[Row] = []
    for row in sorted(rows[:2000], key=len):
        if len(chosen) >= 2 and (len(chosen) == _CHECKED_ROWS or sum(map(len, chosen)) + len(row) > _CHECKED_TOKENS):
            break
        chosen.append(row)
    return chosen if len(chosen) > 1 else chosen * 2


def _has_virtual_tokens(model: Any) -> bool:
    """Whether an adapter puts tokens of its own before every row, as PEFT's prompt tuning does."""
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def chosen_attention(
    wanted: bool | str, model: Any, rows: Sequence[Any], *, objective: Any, adapter: Any
) -> tuple[DocumentAttention | None, str]:
    """The attention to pack with, or None and why not.

    Args:
        wanted: The arm's ``packing``: true, false or auto.
        model: With its adapter, on its device.
        rows: Training rows.
        objective: Of the arm.
        adapter: Of the arm; ``packs = False`` says that it looks at places of a row.

    Raises:
        TrainError: Packing is wanted and cannot be had.
    """
    if wanted is False:
        return None, "packing: false"
    why = ""
    attention = DocumentAttention(model)
    if objective.rows != "tokens" or not isinstance(objective.collate(rows[:1], pad=0), Batch):
        why = "the objective's rows are not single sequences"
    elif not getattr(adapter, "packs", True) or _has_virtual_tokens(model):
        why = "the adapter looks at places of a row"
    elif not attends_by_document(model):
        why = "the model's attention cannot be chosen"
    elif not packing_is_exact(model, rows, attention):
        why = "in this model a packed row is not what it is alone"
    if not why:
        return attention, ""
    if wanted is True:
        raise TrainError(f"packing: true is not possible: {why}", hint="Set packing: auto")
    return None, why
