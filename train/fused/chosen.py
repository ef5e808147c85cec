"""Which of a model's parts are computed with fewer passes in a training, and what is said of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from train.attention import DocumentAttention
from train.checks.sums import few_rows, without_dropout
from train.compiling import CompiledBlocks
from train.config import Arm
from train.data import Batch
from train.fused.last import LastNetwork
from train.fused.layers import FusedLayers
from train.fused.passes import FusedPasses
from train.losses import token_nll
from train.objectives import Objective
from train.packing import pack

if TYPE_CHECKING:
    import torch

__all__ = ["Passes", "fewer_passes"]

#: The loops run on one thread each; more threads than these are faster with PyTorch's own passes.
_MOST_THREADS = 4


@dataclass(frozen=True, slots=True)
class Passes:
    """Within the block a model computes with fewer passes.

    Attributes:
        parts: What is entered.
        text: What they are, in words.
    """

    parts: tuple[FusedPasses | FusedLayers | LastNetwork | CompiledBlocks, ...] = ()
    text: str = "the model's own"
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Passes:
        for part in self.parts:
            self._stack.enter_context(part)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()


def fewer_passes(
    model: Any,
    rows: Sequence[Any],
    *,
    objective: Objective,
    pad: int,
    arm: Arm,
    attention: DocumentAttention | None = None,
) -> Passes:
    """What the steps of a training shall run within.

    Args:
        model: On its device, with its adapter, whole.
        rows: Training rows; a few are tried.
        objective: Of the arm.
        pad: Token id to pad with.
        arm: Where it compiles, that joins passes by itself; where it recomputes, layers and the last network stay.
        attention: That rows are packed with.

    Raises:
        TrainError: The model cannot be compiled.
    """
    import torch

    losses = _losses(model, rows, objective=objective, pad=pad)
    if arm.compile:
        blocks = CompiledBlocks(model)
        if losses is not None:
            with without_dropout(model):
                blocks.check(losses)
        return Passes((blocks,), "blocks compiled")
    parts: list[FusedPasses | FusedLayers | LastNetwork] = []
    said = []
    few_threads = torch.get_num_threads() <= _MOST_THREADS
    fused = model.device.type == "cpu" and model.dtype == torch.float32 and few_threads
    last = LastNetwork(model)
    narrow = False
    if losses is not None and not arm.checkpointing:
        with without_dropout(model):
            narrow = last.exact(losses)
    if fused and attention is not None and not arm.checkpointing:
        layers = FusedLayers(model, attention, last=narrow)
        if layers.count and _exact(layers, model, rows, objective, attention):
            parts.append(layers)
            said.append(f"{layers.count} layers in one function each")
    if fused:
        passes = FusedPasses(model)
        parts += [passes] if passes.names else []
        said += [f"one pass each for {', '.join(passes.names)}"] if passes.names else []
    if narrow:
        parts.append(last)
        said.append("the last feed-forward network where a token is trained")
    return Passes(tuple(parts), "; ".join(said)) if parts else Passes()


def _losses(model: Any, rows: Sequence[Any], *, objective: Objective, pad: int) -> Callable[[], torch.Tensor] | None:
    """Computes the losses of a few rows' tokens; None where rows are no single sequences."""
    few = few_rows(rows, objective)
    if not few or not isinstance(batch := objective.collate(few, pad=pad), Batch):
        return None
    own = batch.to(model.device)
    return lambda: token_nll(model, own)


def _exact(
    layers: FusedLayers, model: Any, rows: Sequence[Any], objective: Objective, attention: DocumentAttention
) -> bool:
    """Whether the whole model with them gives a few packed rows the same losses and gradients."""
    few = few_rows(rows, objective)
    if not few:
        return False
    batch = pack(few).to(model.device)

    def losses() -> torch.Tensor:
        with attention:
            return token_nll(model, batch)

    with without_dropout(model):
        return layers.exact(model, losses)
