"""How much memory a training will take, before it runs: the parts of its peak.

    peak = weights + copies + optimizer + most of (activations left + logits + gradients so far) + workspace

Weights, gradients, AdamW's two moments and what a retention term keeps are counted. What a forward pass keeps for its
backward pass is measured: two single rows go through the very model and loss, and every tensor that autograd saves is
added up, which gives bytes per token, per token squared (attention that is written out) and per logit; they are scaled
to the largest batch. It holds for any adapter, objective and attention. On the CPU, where an allocator in pieces takes
more than what is held, the peak is that of a recorded pass, scaled and played (:mod:`train.allocations`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from train.adapters.interventions import shown_prompts
from train.objectives import Objective, Referring

if TYPE_CHECKING:
    import torch

__all__ = [
    "Kept",
    "Memory",
    "Shape",
    "held_by",
    "kept_at_most",
    "kept_by",
    "largest",
    "memory_of",
    "width",
]

_CALIBRATED = 512  # tokens of the longest row that is looked at
_APART = 0.8  # lengths nearer to one another than this share say nothing of what grows with the square
_MOMENTS = 2  # AdamW keeps two numbers per trained parameter, in float32
_BYTES = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """A batch.

    Attributes:
        rows: Rows.
        length: Tokens of the longest; the others are padded to it.
        logits: Tokens whose logits are computed.
        packed: Of a packed batch, the squared lengths of its documents, summed; 0 where rows are padded.
    """

    rows: int
    length: int
    logits: int
    packed: int = 0

    @property
    def tokens(self) -> int:
        """With padding."""
        return self.rows * self.length

    @property
    def squares(self) -> int:
        """Pairs of tokens that attend to each other."""
        return self.packed or self.rows * self.length**2


@dataclass(frozen=True, slots=True)
class Kept:
    """What a forward pass keeps for the backward pass, in bytes.

    Attributes:
        per_token: For every token.
        per_square: For every row, times its length squared.
        per_logit: For every token whose logits are computed.
    """

    per_token: float
    per_square: float
    per_logit: float

    def activations(self, shape: Shape) -> float:
        """Of a batch, without what belongs to logits."""
        return self.per_token * shape.tokens + self.per_square * shape.squares


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a training at its peak, above what the process takes before the model is loaded.

    Attributes:
        weights: Of the model and the adapter.
        gradients: Of what is trained, all at once.
        optimizer: Its moments.
        activations: Kept for the backward pass, of the largest batch.
        logits: Logits, their probabilities and their gradients.
        workspace: What a layer needs while it is computed.
        overlap: What of these parts is never there at the same time; below 0 where the allocator takes more than is
            held, as on the CPU.
        shape: The largest batch.
        copies: What retention keeps of the start: a second model, or its weights.
        code: What of the process grows when a model is loaded that is not its weights: imported code above all.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    workspace: int
    overlap: int
    shape: Shape
    copies: int = 0
    code: int = 0

    @property
    def passing(self) -> int:
        """What a step takes beside what lies there anyway, as if all were there at once."""
        return self.gradients + self.optimizer + self.activations + self.logits + self.workspace

    @property
    def peak(self) -> int:
        """Bytes at most."""
        return self.weights + self.copies + self.code + self.passing - self.overlap


def kept_by(model: Any, objective: Objective, rows: Sequence[Any], *, pad: int) -> Kept:
    """Measures what autograd saves, on two rows of different lengths where there are some; the model is not changed.

    Args:
        model: As it is trained, in training mode.
        objective: Its loss.
        rows: Training rows.
        pad: Token id to pad with.
    """
    short = sorted((row for row in rows if width(row) <= _CALIBRATED), key=width) or [min(rows, key=width)]
    last = short[-1]
    first = next((row for row in (short[len(short) // 2], short[0]) if width(row) <= _APART * width(last)), last)
    one, logits = _saved(model, objective, first, pad)
    per_logit = logits / max(1, _logit_count(first))
    if first is last:
        return Kept(one / width(first), 0.0, per_logit)
    other, _ = _saved(model, objective, last, pad)
    a, b = one / width(first), other / width(last)
    square = max(0.0, (b - a) / (width(last) - width(first)))
    return Kept(b - square * width(last), square, per_logit)


def kept_at_most(model: Any) -> Kept:
    """What a forward pass surely does not exceed, counted from the shapes of the weights without running any.

    Twice what goes into and comes out of every layer, of every expert as if each token went to all, scores of attention
    that is written out three times, logits three times, all in float32.
    """
    import torch

    head = model.get_output_embeddings() or model.get_input_embeddings()
    sides = 0
    for part in model.modules():
        if part is head or isinstance(part, torch.nn.Embedding):
            continue
        for weight in part.parameters(recurse=False):
            if weight.ndim >= 2:
                sides += sum(weight.shape[-2:]) * math.prod(weight.shape[:-2])
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 16)) * int(getattr(config, "num_hidden_layers", 32))
    return Kept(2.0 * _BYTES * sides, 3.0 * _BYTES * heads, 3.0 * _BYTES * head.weight.shape[0])


def width(row: Any) -> int:
    """Tokens that a row takes in a batch of its own: both answers of a pair are padded to the longer one."""
    sequences = getattr(row, "sequences", None)
    return len(row) if sequences is None else len(sequences) * max(len(one) for one in sequences)


def _saved(model: Any, objective: Objective, row: Any, pad: int) -> tuple[int, int]:
    """Bytes that the pass over one row keeps: activations, and what has a number for every token of the vocabulary."""
    import torch

    vocabulary = int(model.config.get_text_config().vocab_size)
    known = {value.untyped_storage().data_ptr() for value in (*model.parameters(), *model.buffers())}
    found: dict[int, tuple[int, bool]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = (storage.nbytes(), tensor.ndim > 0 and tensor.shape[-1] == vocabulary)
        return tensor.detach()  # itself would hold what holds it, and the model with it, for good

    if isinstance(objective, Referring):
        (row,) = objective.refer(model, [row], batch_size=1, pad=pad)
    batch = objective.collate([row], pad=pad).to(model.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), shown_prompts(model, batch):
        loss = objective.loss(model, batch)
    if loss.logits is not None:
        storage = loss.logits.untyped_storage()
        found[storage.data_ptr()] = (storage.nbytes(), True)
    sizes = list(found.values())
    return sum(size for size, wide in sizes if not wide), sum(size for size, wide in sizes if wide)


def _logit_count(row: Any) -> int:
    return int(row.trained_tokens)


def memory_of(model: Any, kept: Kept, shape: Shape, took: int | None = None) -> Memory:
    """The parts of the peak, without copies and code.

    Args:
        model: As it is trained.
        kept: From :func:`kept_by`.
        shape: The largest batch, from :func:`largest`.
        took: What steps with that largest batch take beside weights on the CPU, where it could be told.
    """
    parameters = list(dict.fromkeys(model.parameters()))
    held = [*parameters, *model.buffers()]
    weights = sum(value.numel() * value.element_size() for value in held)
    trained = sum(value.numel() for value in parameters if value.requires_grad)
    gradients = trained * _BYTES
    head = (model.get_output_embeddings() or model.get_input_embeddings()).weight
    vocabulary, size = head.shape
    activations = int(kept.activations(shape))
    # While the loss goes back its logits have a gradient beside what was kept of them.
    logits = int(shape.logits * (kept.per_logit + vocabulary * _BYTES))
    widest = max(_widths(model), default=size)
    workspace = 3 * shape.tokens * widest * _BYTES
    # Gradients come as activations go; a GPU's allocator gives the room of the one to the other.
    first = int(head.numel() * _BYTES) if head.requires_grad else 0
    together = max(activations + max(logits, first), gradients)
    overlap = gradients + activations + logits - together
    optimizer = trained * _MOMENTS * _BYTES
    found = Memory(weights, gradients, optimizer, activations, logits, workspace, overlap, shape)
    if head.device.type != "cpu":
        return found
    if took is None:  # what was freed stays with the process in pieces, and a second step takes about as much again
        return replace(found, overlap=-max(0, activations + logits + workspace - gradients))
    return replace(found, overlap=found.passing - took)


def _widths(model: Any) -> Iterable[int]:
    import torch

    head = model.get_output_embeddings()
    for part in model.modules():
        if isinstance(part, torch.nn.Linear) and part is not head:
            yield max(part.in_features, part.out_features)


def largest(shapes: Iterable[Shape], kept: Kept) -> Shape:
    """The batch that takes most."""
    return max(shapes, key=lambda shape: kept.activations(shape) + kept.per_logit * shape.logits)


def held_by(terms: Iterable[Any], model: Any) -> int:
    """Bytes of the tensors that terms beside the loss keep for themselves.

    Args:
        terms: Of the loss.
        model: Whose own tensors are not counted.
    """
    import torch

    known = {value.untyped_storage().data_ptr() for value in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}
    seen: set[int] = set()
    left: list[Any] = list(terms)
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, torch.Tensor):
            storage = part.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        elif isinstance(part, torch.nn.Module):
            left += [*part.parameters(), *part.buffers()]
        elif isinstance(part, list | tuple):
            left += part
        elif type(part).__module__.startswith("train."):
            left += vars(part).values() if hasattr(part, "__dict__") else []
    return sum(size for place, size in found.items() if place not in known)
