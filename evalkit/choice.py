"""Choosing a model under a budget of forgetting: on three tenths of the items, reported on the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.errors import EvalError
from evalkit.selection import split_log

if TYPE_CHECKING:
    from evalkit.comparison import Comparison
    from evalkit.log import EvalLog

__all__ = ["Candidate", "Choice", "choose_under"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a model showed on the items that the choice is made on.

    Attributes:
        at: Its step, or whatever the models are numbered by.
        gain: Mean difference over the user's tasks; None without any.
        loss: Mean loss over the general tasks.
    """

    at: int
    gain: float | None
    loss: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The model with the largest gain among those that lose no more than the budget.

    Attributes:
        budget: Loss of the suite's mean that was allowed.
        at: Number of the chosen model; None where none keeps to the budget.
        candidates: All of them, on the three tenths.
        comparison: Base to the chosen model on the other seven tenths; None where none was chosen.
    """

    budget: float
    at: int | None
    candidates: tuple[Candidate, ...]
    comparison: Comparison | None


def choose_under(
    before: EvalLog, models: Mapping[int, EvalLog], budget: float, *, alpha: float = 0.05, seed: int = 0
) -> Choice:
    """Chooses under a budget of forgetting.

    On three tenths of the items a model qualifies whose suite mean fell by at most the budget; of those the one with
    the largest gain is taken, the earliest where gains are equal, the latest where there is no task of the user's own.

    Args:
        before: Log of the base.
        models: Number to log, the same tasks as the base's.
        budget: Largest loss of the suite's mean, in points of the score (0.01 = 1 point).
        alpha: 1 - confidence of the comparison that is reported.
        seed: Of permutations and bootstraps.

    Raises:
        EvalError: No model, or no general task with items on both sides.
    """
    from evalkit.compare import compare

    if not models:
        raise EvalError("there is no model to choose from")
    parts = {at: split_log(log) for at, log in models.items()}
    tasks = _on_both_sides(before)
    base = tuple(_only(part, tasks) for part in split_log(before))
    candidates = []
    for at, (shown, _) in sorted(parts.items()):
        found = compare(base[0], _only(shown, tasks), alpha=alpha, seed=seed)
        if found.suite_mean is None:
            raise EvalError("no general task to keep a budget of forgetting on", hint="Set evaluate.suite")
        gains = [row.difference for row in found.gains]
        candidates.append(Candidate(at, sum(gains) / len(gains) if gains else None, -found.suite_mean.difference))
    within = [one for one in candidates if one.loss <= budget]
    if not within:
        return Choice(budget, None, tuple(candidates), None)
    best = max(within, key=lambda one: one.at if one.gain is None else one.gain)
    report = compare(base[1], _only(parts[best.at][1], tasks), alpha=alpha, seed=seed)
    return Choice(budget, best.at, tuple(candidates), report)


def _on_both_sides(log: EvalLog) -> set[str]:
    """Tasks with items in either part; of a task of a few items one part may be empty."""
    sides = [set(part.items.column("task").to_pylist()) for part in split_log(log)]
    return sides[0] & sides[1]


def _only(log: EvalLog, tasks: set[str]) -> EvalLog:
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = pc.is_in(log.items.column("task"), value_set=pa.array(sorted(tasks), pa.string()))
    header = replace(log.header, tasks={name: info for name, info in log.header.tasks.items() if name in tasks})
    return replace(log, header=header, items=log.items.filter(kept))
