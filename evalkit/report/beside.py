"""Models that stand beside the arms on the user's task: one in production, or the base with examples in its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.comparison import Row
    from evalkit.guard import Prompts
    from evalkit.log import EvalLog

__all__ = ["Beside", "beside_of"]


@dataclass(frozen=True, slots=True)
class Beside:
    """One such model.

    Attributes:
        name: In the report.
        task: The user's task.
        score: Its score on the task.
        n: Items.
        rows: (Arm, seed) to the arm's row on the task against this model; with another prompt the row says so.
    """

    name: str
    task: str
    score: float
    n: int
    rows: Mapping[tuple[str, int | None], Row] = field(default_factory=dict)


def beside_of(
    name: str,
    logs: Sequence[EvalLog],
    arms: Mapping[tuple[str, int | None], Sequence[EvalLog]],
    *,
    alpha: float,
    seed: int,
) -> Beside | None:
    """Compares every arm with a further model on the user's task; None where neither has one.

    Args:
        name: Of the model.
        logs: Its logs.
        arms: (Arm, seed) to the arm's logs.
        alpha: 1 - confidence.
        seed: Of permutations and bootstraps.

    Raises:
        NotComparable: Other items, or another right answer.
    """
    from evalkit.compare import compare

    rows: dict[tuple[str, int | None], Row] = {}
    for log in logs:
        gains = [task for task, info in log.header.tasks.items() if info.kind == "gain"]
        if not gains:
            continue
        for key, own in arms.items():
            other = next((found for found in own if found.header.suite == log.header.suite), None)
            if other is not None:
                same = _settings(log, gains[0]) == _settings(other, gains[0])
                prompts: Prompts = "same" if same else "differ"
                rows[key] = compare(log, other, prompts=prompts, alpha=alpha, seed=seed).row(gains[0])
        if rows:
            first = next(iter(rows.values()))
            return Beside(name, gains[0], first.before, first.n, rows)
    return None


def _settings(log: EvalLog, task: str) -> object:
    settings: Mapping[str, Mapping[str, object]] = log.header.settings.get("tasks", {})
    return settings.get(task, {}).get("num_fewshot")
