"""Before a run: will it fit, and if not, what to change. Loads the model and looks at two rows; nothing is trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings
from train.adapters import adapter_named
from train.config import Arm
from train.data import PASS_OVERHEAD, Stream, cut
from train.loading import computes_in_bfloat16, load_to_train, stream_of
from train.loop import computing
from train.memory import Kept, Memory, Shape, available, kept_by, largest, memory_of, width
from train.objectives import objective_of
from train.prepare import prepare
from train.retention.self_replay import with_own_texts

__all__ = ["Estimate", "estimate"]

_STEPS = 500  # of an epoch that are looked at for the largest batch


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training will take.

    Attributes:
        memory: Its parts, and the largest batch.
        device: ``cpu`` or ``cuda``.
        available: Bytes that were free there before the model was loaded.
        advice: What to change where it does not fit; empty where it does.
    """

    memory: Memory
    device: str
    available: int
    advice: tuple[str, ...]

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
    free = available(device)
    chat = chat or ChatSettings()
    replay = with_own_texts(arm, replay or {}, model=model, chat=chat, seed=seed, offline=offline)
    ready = prepare(arm, model=model, data=data, chat=chat, replay=replay, offline=offline)
    objective, bfloat16 = objective_of(arm), computes_in_bfloat16(arm)
    with torch.random.fork_rng():
        loaded = load_to_train(arm, adapter_named(arm.adapter), objective, ready, str(model), bfloat16=bfloat16).train()
        with computing(loaded, bfloat16=bfloat16):
            kept = kept_by(loaded, objective, ready.train.rows, pad=ready.pad)
    shape = largest(_shapes(arm, stream_of(arm, objective, ready, seed)), kept)
    memory = memory_of(loaded, kept, shape)
    advice = () if memory.peak <= free else tuple(_advice(arm, loaded, kept, shape, free))
    return Estimate(memory, device, free, advice)


def _shapes(arm: Arm, stream: Stream) -> Iterator[Shape]:
    """The batches of the first steps."""
    for rows in itertools.islice(stream, min(stream.steps_per_epoch, _STEPS)):
        order = sorted(rows, key=len)
        end = 0
        for size in cut([len(row) for row in order], batch_size=arm.batch_size, overhead=PASS_OVERHEAD):
            end += size
            batch = order[end - size : end]
            yield Shape(size, max(width(row) for row in batch), sum(row.trained_tokens for row in batch))


def _advice(arm: Arm, model: Any, kept: Kept, shape: Shape, free: int) -> Iterator[str]:
    """What to change, most harmless first."""
    for rows in range(shape.rows // 2, 0, -1):
        smaller = replace(shape, rows=rows, logits=max(1, shape.logits * rows // shape.rows))
        if memory_of(model, kept, smaller).peak <= free:
            size = max(1, arm.batch_size * rows // shape.rows)
            yield f"batch_size {size} and accumulate {-(-arm.batch_size * arm.accumulate // size)} (the same training)"
            return
    shorter = replace(shape, rows=1, length=shape.length // 2, logits=max(1, shape.logits // shape.rows // 2))
    if memory_of(model, kept, shorter).peak <= free:
        yield f"batch_size 1 and max_length {shape.length // 2}"
    if arm.adapter == "full":
        yield "adapter lora: no gradients and moments of the model's own weights"
    yield "a smaller model, or a machine with more memory"
