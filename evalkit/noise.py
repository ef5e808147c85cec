"""The noise floor: how much one and the same model differs from itself when it is evaluated in other batches."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evalkit.log import ITEMS, EvalLog, TaskInfo
from evalkit.store import Entry, entry_key

if TYPE_CHECKING:
    from evalkit.evaluate import Session
    from evalkit.suite import Suite

__all__ = ["MAX_ITEMS", "Noise", "noise_floor", "noise_of", "recorded_noise", "with_noise"]

REVISION = 1
MAX_ITEMS = 200  # over all tasks


@dataclass(frozen=True, slots=True)
class Noise:
    """The model before against itself.

    Attributes:
        items: Items evaluated twice.
        flipped: Of them, those whose score changed.
        largest: Largest change of a log-likelihood, in nats; 0 where no item has one.
        batch_tokens: Tokens of one forward pass, both times.
    """

    items: int
    flipped: int
    largest: float
    batch_tokens: tuple[int, int]


def noise_floor(
    session: Session, suite: Suite, log: EvalLog, *, seed: int = 0, limit: int | None = None, store: bool = True
) -> Noise:
    """Evaluates the first items of each general task a second time with an eighth of the batch size.

    Args:
        session: The model before.
        suite: At most :data:`MAX_ITEMS` of its items are looked at, the same number of each task.
        log: Of the first time, by this session.
        seed: As the first time.
        limit: Items of each task at most, as the first time.
        store: Whether the result is looked up and kept.
    """
    from evalkit.models.hf import batch_budget

    tasks = tuple(task for task in suite.tasks if task.kind == "general")
    share = max(1, MAX_ITEMS // max(1, len(tasks)))
    share = share if limit is None else min(share, limit)
    usual = session.batch_tokens or batch_budget(session.device)
    sizes = (usual, max(64, usual // 8))
    if not tasks or session.foreign:
        return Noise(0, 0, 0.0, sizes)
    key = entry_key({"noise": REVISION, "log": log.header.key, "share": share, "sizes": sizes})
    if store and (entry := session.store.get(key)) is not None:
        return _noise(entry.recorded)
    other = copy.copy(session)
    other.batch_tokens = sizes[1]
    again = other.evaluate(dataclasses.replace(suite, tasks=tasks), seed=seed, limit=share, store=False)
    found = noise_of(log, again, batch_tokens=sizes)
    if store:
        session.store.put(key, Entry(TaskInfo(), ITEMS.empty_table(), recorded=asdict(found)))
    return found


def recorded_noise(log: EvalLog) -> Noise | None:
    """What a log of the model before says of its noise floor; None where it was not measured."""
    recorded = log.header.recorded.get("noise")
    return _noise(recorded) if isinstance(recorded, Mapping) else None


def with_noise(log: EvalLog, noise: Noise) -> EvalLog:
    """The log with the noise floor in its header."""
    recorded = {**log.header.recorded, "noise": asdict(noise)}
    return EvalLog(dataclasses.replace(log.header, recorded=recorded), log.items)


def _noise(recorded: Mapping[str, Any]) -> Noise:
    return Noise(**{**recorded, "batch_tokens": tuple(recorded["batch_tokens"])})


def noise_of(first: EvalLog, second: EvalLog, *, batch_tokens: tuple[int, int] = (0, 0)) -> Noise:
    """What differs between two logs of one model, on the items that both have.

    Raises:
        NotComparable: They share no item, or were made with other settings.
    """
    import numpy as np

    from evalkit.guard import pair_logs

    items = flipped = 0
    largest = 0.0
    for pair in pair_logs(first, second, join="intersection").pairs:
        if pair.info.kind != "general":
            continue
        old, new = (pair_side.column("score").to_numpy(zero_copy_only=False) for pair_side in (pair.before, pair.after))
        items += old.size
        flipped += int(np.count_nonzero(np.abs(new - old) > 1e-9))
        for one, other in zip(_logprobs(pair.before), _logprobs(pair.after), strict=True):
            if one and other:
                largest = max(largest, float(np.max(np.abs(np.subtract(one, other)))))
    return Noise(items, flipped, largest, batch_tokens)


def _logprobs(table: Any) -> list[list[float]]:
    columns = (table.column(name).to_pylist() for name in ("choice_logprobs", "sum_logprob"))
    return [choices or ([] if own is None else [own]) for choices, own in zip(*columns, strict=True)]
