"""A sequence of tasks: R[t, i], the score on task i after training on task t, and what was forgotten on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from evalkit import sequences
from evalkit.errors import EvalError

if TYPE_CHECKING:
    from evalkit.comparison import Row
    from evalkit.log import EvalLog

__all__ = ["StageMatrix", "stage_facts", "stage_matrix"]


@dataclass(frozen=True, slots=True)
class StageMatrix:
    """One arm through all stages.

    Attributes:
        arm: Name of the arm.
        seed: Training seed.
        stages: The tasks, in the order they were trained.
        base: Scores before the first stage, one per task.
        scores: R[t, i]: a row per stage, a column per task.
        items: Test items of each task.
        learnt: Base to the model just after its stage, one row per task.
        forgotten: Just after its stage to the last model, one row per task; its verdict stands outside Holm's
            adjustment, as gains do. The last task cannot have been forgotten.
        general: Mean difference from the base on the general suite after each stage; None without one.
        measures: Forgetting, backward and forward transfer under each convention, the base being the baseline.
    """

    arm: str
    seed: int
    stages: tuple[str, ...]
    base: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    items: tuple[int, ...]
    learnt: tuple[Row, ...]
    forgotten: tuple[Row, ...]
    general: tuple[float | None, ...]
    measures: tuple[sequences.Sequence, ...]


def stage_matrix(base: EvalLog, logs: Sequence[EvalLog], stages: Sequence[str], *, arm: str, seed: int) -> StageMatrix:
    """Reads the matrix from logs.

    Args:
        base: Log of the model before the first stage, on every stage's task.
        logs: Log after each stage, on the same tasks.
        stages: Names of the tasks, in the order they were trained.
        arm: Name of the arm.
        seed: Training seed.

    Raises:
        EvalError: Not one log per stage, or a task that a log lacks.
    """
    from evalkit.compare import compare

    if len(logs) != len(stages) or len(stages) < 2:
        raise EvalError(f"{len(logs)} logs for {len(stages)} stages; one per stage is wanted, and two stages or more")
    from_base = [compare(base, log) for log in logs]
    rows = [[found.row(stage) for stage in stages] for found in from_base]
    scores = tuple(tuple(row.after for row in own) for own in rows)
    start = tuple(row.before for row in rows[0])
    later = [compare(log, logs[-1]).row(stage) for log, stage in zip(logs[:-1], stages[:-1], strict=True)]
    means = [None if (mean := found.suite_mean) is None else mean.difference for found in from_base]
    return StageMatrix(
        arm=arm,
        seed=seed,
        stages=tuple(stages),
        base=start,
        scores=scores,
        items=tuple(row.paired.n for row in rows[0]),
        learnt=tuple(rows[at][at] for at in range(len(stages))),
        forgotten=tuple(later),
        general=tuple(means),
        measures=tuple(sequences.sequence(scores, convention=name, baseline=start) for name in sequences.CONVENTIONS),
    )


def stage_facts(matrix: StageMatrix) -> dict[str, Any]:
    """The matrix as plain values for JSON."""
    return {
        "arm": matrix.arm,
        "seed": matrix.seed,
        "stages": list(matrix.stages),
        "items": list(matrix.items),
        "base": list(matrix.base),
        "scores": [list(row) for row in matrix.scores],
        "learnt": [_row(row) for row in matrix.learnt],
        "forgotten": [_row(row) for row in matrix.forgotten],
        "general": list(matrix.general),
        "measures": [asdict(measure) for measure in matrix.measures],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "task": row.task,
        "before": row.before,
        "after": row.after,
        "difference": row.difference,
        "interval": list(row.interval),
        "verdict": row.verdict,
    }
