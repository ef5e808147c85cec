"""Before a run: will it fit, and if not, what to change.

The model is loaded and passes two rows. On the CPU a training that surely fits is then tried for three steps; else it
passes short batches, and the rest is computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.chat import ChatSettings
from datakit.core.checkpoint import load_model, stored_dtype
from train.adapters import adapter_named
from train.allocations import Pass, Size, Spread, room
from train.chunks import worth_chunking
from train.data import PASS_OVERHEAD, cut
from train.fused.chosen import Passes, fewer_passes
from train.loading import computes_in_bfloat16, load_to_train, stream_of
from train.loop import Training, computing, recompute
from train.memory import (
    Kept,
    Memory,
    Shape,
    held_by,
    kept_at_most,
    kept_by,
    largest,
    memory_of,
    width,
)
from train.objectives import objective_of
from train.packing import best_fit, chosen_attention
from train.prepare import Prepared, prepare
from train.process import available, forget_highest, give_back, resident
from train.recording import SHORT, recorded_pass
from train.retention.self_replay import with_own_texts
from train.retention.terms import retention_terms
from train.trial import highest_of_steps

if TYPE_CHECKING:
    from train.attention import DocumentAttention
    from train.config import Arm

__all__ = ["Estimate", "estimate"]

_STEPS = 500  # of an epoch that are looked at for the largest batch
_BATCHES = 8  # of a step that are played
_SURELY, _SPARE = 1.5, 1 << 30  # of the most that it may take, and bytes beside it; with so much free it is tried
_PIECE = 1 << 20  # numbers that are read at a time
_CHUNK = 1 << 24  # logits at once where they are computed in chunks (train/chunks.py)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training will take.

    Attributes:
        memory: Its parts, and the largest batch.
        device: ``cpu`` or ``cuda``.
        available: Bytes that were free there before the model was loaded.
        advice: What to change where it does not fit; empty where it does.
        measured: Whether it is what a few steps took; else it is computed.
    """

    memory: Memory
    device: str
    available: int
    advice: tuple[str, ...]
    measured: bool = False

    @property
    def fits(self) -> bool:
        """Whether it is less than what is free."""
        return self.memory.peak <= self.available


def estimate(
    arm: Arm,
    *,
    model: Path | str,
    data: Path,
    chat: ChatSettings | None = None,
    seed: int = 0,
    replay: Mapping[str, Path] | None = None,
    offline: bool = False,
) -> Estimate:
    """Peak memory of an arm on this machine: its parts, and what would make it smaller where it does not fit.

    Args:
        arm: One concrete arm.
        model: As for :func:`train.fit`.
        data: As for :func:`train.fit`.
        chat: Chat settings.
        seed: Of the data order, which decides what stands in a batch.
        replay: Parquet files by source name.
        offline: Never ask the Hub.

    Raises:
        TrainError: A model, row or setting that cannot be used.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    give_back()
    free, before, tells = available(device), resident(), forget_highest()
    chat = chat or ChatSettings()
    replay = with_own_texts(arm, replay or {}, model=model, chat=chat, seed=seed, offline=offline)
    ready = prepare(arm, model=model, data=data, chat=chat, replay=replay, offline=offline)
    with torch.random.fork_rng():
        objective, adapter, bfloat16 = objective_of(arm), adapter_named(arm.adapter), computes_in_bfloat16(arm)
        loaded = load_to_train(arm, adapter, objective, ready, str(model), bfloat16=bfloat16).train()
        rows = ready.train.rows
        attention, _ = chosen_attention(arm.packing, loaded, rows, objective=objective, adapter=adapter)
        passes = _passes(arm, loaded, rows, pad=ready.pad, attention=attention)
        code = _beside_weights(loaded, before) if device == "cpu" else 0
        training = replace(_training(arm, ready, loaded, seed), attention=attention, passes=passes)
        steps = list(itertools.islice(training.stream, min(training.stream.steps_per_epoch, _STEPS)))
        parts = [_parts(training, step) for step in steps]
        shapes = [[_shape(training, part) for part in step] for step in parts]
        against = training.against
        copies = held_by([*against.terms, *against.rehearsals, *against.pulls], loaded)
        most = None
        if device == "cpu" and tells and not arm.compile:
            most = _tried(training, parts, shapes, free=free - copies - code)
        kept = _kept(training, rows)
        shape = largest(itertools.chain(*shapes), kept)
        if most is not None:
            memory = replace(memory_of(loaded, kept, shape), copies=copies, code=code)
            took = max(most - before - memory.weights - copies - code, memory.gradients + memory.optimizer)
            memory = replace(memory, overlap=memory.passing - took)
            if memory.peak <= free:
                return Estimate(memory, device, free, (), measured=True)
        looked = _look(training, kept, rows, free)
    if most is None:
        memory = replace(looked.memory(shape, _course(shapes, shape)), copies=copies, code=code)
        if memory.peak <= free:
            return Estimate(memory, device, free, ())
    return Estimate(memory, device, free, tuple(_advice(training, rows, looked, memory, free)), most is not None)


def _course(shapes: Sequence[Sequence[Shape]], shape: Shape) -> list[Sequence[Shape]]:
    """The first step, and twice the one that has the largest batch."""
    found = next(step for step in shapes if shape in step)
    return [shapes[0], found, found]


def _tried(
    training: Training, steps: Sequence[Sequence[Sequence[Any]]], shapes: Sequence[Sequence[Shape]], *, free: int
) -> int | None:
    """The process at its highest in three steps, those of :func:`_course`; None where they might not fit.

    Of a step that has many batches those around the largest are enough: memory is that of one, and of its gradients
    being added to others'.
    """
    model, against = training.model, training.against
    kept = kept_at_most(model)
    if against.terms:  # the reference's logits, and both distributions
        kept = replace(kept, per_logit=3 * kept.per_logit)
    shape = largest(itertools.chain(*shapes), kept)
    found = memory_of(model, kept, shape)
    most = found.peak + 3 * found.gradients * len(against.pulls) + 2 * int(_rehearsed(training, kept))
    if most * _SURELY + _SPARE > free:
        return None
    at = next(at for at, step in enumerate(shapes) if shape in step)
    place = shapes[at].index(shape)
    around = steps[at][max(0, place - 1) : place + 2]
    chosen = [steps[0][:_BATCHES], around, around]
    return highest_of_steps(training, [list(itertools.chain(*batches)) for batches in chosen])


def _rehearsed(training: Training, kept: Kept) -> float:
    """Bytes that a batch of general rows keeps, with the logits of both models for each of its tokens."""
    most, size = 0.0, training.arm.batch_size
    for rehearsal in training.against.rehearsals:
        for step in (1, 2, 3):
            found = sorted(map(len, rehearsal.rows(step)))[-size:]
            shape = Shape(len(found), max(found, default=0), 3 * sum(found))
            most = max(most, kept.activations(shape) + kept.per_logit * shape.logits)
    return most


def _training(arm: Arm, ready: Prepared, model: Any, seed: int) -> Training:
    """What the loop would get beside attention and passes, to be looked at."""
    import torch

    objective, bfloat16 = objective_of(arm), computes_in_bfloat16(arm)

    def start() -> Any:
        stored = getattr(torch, stored_dtype(ready.folder))
        return load_model(ready.folder, dtype=stored, architecture=objective.architecture)

    against = retention_terms(arm, model, load=start, general=ready.general.rows, seed=seed)
    if arm.checkpointing:
        recompute(model)
    stream = stream_of(arm, objective, ready, seed)
    return Training(
        model,
        objective,
        stream,
        (),
        arm,
        steps=1,
        pad=ready.pad,
        against=against,
        bfloat16=bfloat16,
    )


def _passes(arm: Arm, model: Any, rows: Sequence[Any], *, pad: int, attention: DocumentAttention | None) -> Passes:
    """What its steps run within; nothing is compiled for a look."""
    if arm.compile:
        return Passes()
    return fewer_passes(model, rows, objective=objective_of(arm), pad=pad, arm=arm, attention=attention)


def _beside_weights(model: Any, before: int) -> int:
    """What the process took since then beside the model: code above all. Reads all weights, which may be mapped."""
    held = {value.untyped_storage().data_ptr(): value for value in (*model.parameters(), *model.buffers())}
    give_back()  # what was tried out on the model
    for value in held.values():
        for piece in value.detach().reshape(-1).split(_PIECE):
            piece.sum()
    weights: int = sum(value.untyped_storage().nbytes() for value in held.values())
    return max(0, resident() - before - weights)


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of a training, to tell its memory with any batch."""

    model: Any
    kept: Kept
    found: tuple[Pass, Spread] | None
    rehearsed: int

    def memory(self, shape: Shape, steps: Sequence[Sequence[Shape]]) -> Memory:
        """With these steps, the largest batch among them."""
        took = None
        if self.found is not None:
            sizes = [[Size(each.tokens, each.squares, each.logits) for each in step[:_BATCHES]] for step in steps]
            trained = [value.numel() for value in self.model.parameters() if value.requires_grad]
            took = room(self.found[0], sizes, trained, spread=self.found[1])
        memory = memory_of(self.model, self.kept, shape, took)
        more = max(0, self.rehearsed - memory.activations - memory.logits)
        return replace(memory, overlap=memory.overlap - more)


def _kept(training: Training, rows: Sequence[Any]) -> Kept:
    """Two rows forward."""
    with training.passes, computing(training.model, bfloat16=training.bfloat16):
        return kept_by(training.model, training.objective, rows, pad=training.pad)


def _look(training: Training, kept: Kept, rows: Sequence[Any], free: int) -> _Looked:
    """On the CPU three short batches forward and back, where gradients have room."""
    model = training.model
    least = memory_of(model, kept, Shape(1, SHORT, SHORT))
    records = model.device.type == "cpu" and least.weights + least.gradients < free
    found = recorded_pass(training, rows) if records else None
    return _Looked(model, kept, found, int(_rehearsed(training, kept)))


def _parts(training: Training, step: Sequence[Any]) -> list[list[Any]]:
    """The rows of a step's batches, as the loop cuts them."""
    arm = training.arm
    if training.attention is not None:
        lengths = [len(row) for row in step]
        bins = best_fit(lengths, capacity=arm.batch_tokens or sum(lengths), rows=arm.batch_size)
        return [[step[at] for at in bin] for bin in bins]
    order = sorted(step, key=len)
    sizes = cut([len(row) for row in order], batch_size=arm.batch_size, overhead=PASS_OVERHEAD, tokens=arm.batch_tokens)
    return [order[end - size : end] for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]


def _shape(training: Training, part: Sequence[Any]) -> Shape:
    if training.attention is not None:
        squares = sum(len(row) ** 2 for row in part)
        return Shape(1, sum(map(len, part)), _logits(training, part), squares)
    return Shape(len(part), max(map(width, part)), _logits(training, part))


def _logits(training: Training, rows: Sequence[Any]) -> int:
    """Tokens whose logits are there at once: all that are trained, or a chunk of them."""
    count: int = sum(row.trained_tokens for row in rows)
    head = training.model.get_output_embeddings()
    if training.objective.rows != "tokens" or not worth_chunking(head, count):
        return count
    return max(1, _CHUNK // int(head.weight.shape[0]))


def _advice(training: Training, rows: Sequence[Any], looked: _Looked, memory: Memory, free: int) -> Iterator[str]:
    """What to change, most harmless first, with what it would take then."""
    arm, shape = training.arm, memory.shape

    def told(shape: Shape, looked: _Looked = looked) -> int:
        return replace(looked.memory(shape, [[shape, shape]] * 2), copies=memory.copies, code=memory.code).peak

    smaller = list(_smaller(training, shape, rows))
    for text, less in smaller:
        if (peak := told(less)) <= free:
            yield f"{text} (the same training, about {_gib(peak)})"
            return
    least = smaller[-1][1] if smaller else shape
    half = replace(least, length=max(1, least.length // 2), logits=max(1, least.logits // 2), packed=least.packed // 4)
    if (peak := told(half)) <= free:
        length = half.length // len(getattr(rows[0], "sequences", (rows[0],)))
        batch = f"batch_tokens {length}" if training.attention else "batch_size 1"
        yield f"{batch} and max_length {length} (about {_gib(peak)})"
    if not arm.checkpointing:
        again = arm.model_copy(update={"checkpointing": True})
        passes = _passes(again, training.model, rows, pad=training.pad, attention=training.attention)
        recompute(training.model)
        other = replace(training, passes=passes)
        if (peak := told(least, _look(other, _kept(other, rows), rows, free))) <= free:
            yield f"checkpointing: true and the smallest batch (about {_gib(peak)})"
    if arm.adapter == "full":
        saved = memory.gradients + memory.optimizer
        yield f"adapter lora: no gradients and moments of the model's own weights, about {_gib(saved)} less"
    yield f"a smaller model, or a machine with {_gib(max(0, told(least) - free))} more"


def _smaller(training: Training, shape: Shape, rows: Sequence[Any]) -> Iterator[tuple[str, Shape]]:
    """Smaller batches that make the same step, in words."""
    arm = training.arm
    per_step = arm.batch_size * arm.accumulate
    if training.attention is not None:
        longest, tokens = max(len(row) for row in rows), shape.length
        while tokens > longest:
            tokens = max(longest, tokens // 2)
            logits, packed = (max(1, count * tokens // shape.length) for count in (shape.logits, shape.packed))
            yield f"batch_tokens {tokens}", replace(shape, length=tokens, logits=logits, packed=packed)
        return
    count = shape.rows
    while count > 1:
        count //= 2
        size = max(1, arm.batch_size * count // shape.rows)
        logits = max(1, shape.logits * count // shape.rows)
        yield f"batch_size {size} and accumulate {-(-per_step // size)}", replace(shape, rows=count, logits=logits)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
