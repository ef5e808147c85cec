"""Tasks learnt one after another: backward transfer, forward transfer and forgetting, as each source defines them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evalkit.errors import EvalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["CONVENTIONS", "Convention", "Sequence", "sequence"]


@dataclass(frozen=True, slots=True)
class Convention:
    """How a source sums up R[t, i], the score on task i after training on task t.

    Attributes:
        reference: Where it stands, and its formula.
        old: What the last score of an old task is compared with: the score just after it was learnt (``learnt``), the
            best one of all rows (``best``), or the best one before the last row (``best before``).
        divides_by_all: The sums are divided by T, not by T - 1.
        backward: The source defines backward transfer.
        forward: The source defines forward transfer: score on a task just before it is learnt - the baseline's.
    """

    reference: str
    old: Literal["learnt", "best", "best before"] = "learnt"
    divides_by_all: bool = False
    backward: bool = True
    forward: bool = True


CONVENTIONS: dict[str, Convention] = {
    "gem": Convention("Lopez-Paz and Ranzato, NeurIPS 2017, section 2: last - just learnt, over T-1"),
    "gem-code": Convention("GradientEpisodicMemory, metrics/metrics.py: means over all T tasks", divides_by_all=True),
    "trace": Convention(
        "TRACE, Wang et al. 2023, arXiv 2310.06762: last - just learnt, over t = T", divides_by_all=True, forward=False
    ),
    "avalanche": Convention(
        "Avalanche, StreamForgetting and StreamBWT: first - last over the experiences before the last; "
        "StreamForwardTransfer over those after the first"
    ),
    "mammoth": Convention(
        "Mammoth, utils/metrics.py: forgetting is best row since it was learnt - last, over T-1, never below 0; "
        "backward transfer is last - just learnt",
        old="best",
    ),
    "chaudhry": Convention(
        "Chaudhry et al., ECCV 2018, section 3: best of all earlier rows - last, over T-1",
        old="best before",
        backward=False,
        forward=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence of T tasks under one convention.

    Attributes:
        backward_transfer: Change of the old tasks since they were learnt; below 0 they were forgotten. None where the
            source does not define it.
        forward_transfer: What earlier tasks gave to a task before it was learnt; None without a baseline or where the
            source does not define it.
        forgetting: Above 0 means forgetting, whatever sign the source uses.
        convention: Name of the convention.
        divisor: What the sums over tasks are divided by.
        reference: Source and formula.
        per_task: Forgetting of each old task, in the order they were learnt.
    """

    backward_transfer: float | None
    forward_transfer: float | None
    forgetting: float
    convention: str
    divisor: int
    reference: str
    per_task: tuple[float, ...]


def sequence(matrix: ArrayLike, *, convention: str = "gem", baseline: ArrayLike | None = None) -> Sequence:
    """Sums up R[t, i], the score on task i after training on task t (both from 0, trained in that order).

    Args:
        matrix: Shape (T, T), T >= 2. Scores of tasks that come later (above the diagonal) may be NaN where they were
            not measured; forward transfer is None then.
        convention: One of :data:`CONVENTIONS`. They differ in what the last score is compared with and in the divisor.
        baseline: Scores of the model before the first task, shape (T,): the base, or an untrained model as in the GEM
            paper. Needed for forward transfer.

    Raises:
        EvalError: Not square, fewer than two tasks, a missing score, or an unknown convention.
    """
    import numpy as np

    r = np.asarray(matrix, np.float64)
    if r.ndim != 2 or r.shape[0] != r.shape[1] or len(r) < 2:
        raise EvalError(f"R[t, i] must be a square table of at least two tasks, not of shape {r.shape}")
    if convention not in CONVENTIONS:
        raise EvalError(f"no convention '{convention}'", hint=f"Known: {', '.join(CONVENTIONS)}")
    missing = np.argwhere(~np.isfinite(np.tril(r)))
    if missing.size:
        after, task = missing[0]
        raise EvalError(f"the score on task {task} after task {after} is missing (R[{after}, {task}])")
    rule, count = CONVENTIONS[convention], len(r)
    divisor = count if rule.divides_by_all else count - 1
    learnt, last = np.diag(r)[:-1], r[-1, :-1]
    lost = _reference(r, rule) - last
    return Sequence(
        backward_transfer=float(np.sum(last - learnt) / divisor) if rule.backward else None,
        forward_transfer=_forward(r, baseline, divisor) if rule.forward else None,
        forgetting=float(np.sum(lost) / divisor),
        convention=convention,
        divisor=divisor,
        reference=rule.reference,
        per_task=tuple(lost.tolist()),
    )


def _reference(r: Floats, rule: Convention) -> Floats:
    """What the last score of each old task is compared with."""
    import numpy as np

    old = range(len(r) - 1)
    if rule.old == "best":
        # Mammoth evaluates seen tasks only: rows before a task was learnt hold 0.
        return np.array([max(0.0, r[task:, task].max()) for task in old])
    if rule.old == "best before":
        return np.array([np.nanmax(r[:-1, task]) for task in old])
    return np.array([r[task, task] for task in old])


def _forward(r: Floats, baseline: ArrayLike | None, divisor: int) -> float | None:
    import numpy as np

    if baseline is None:
        return None
    start, count = np.asarray(baseline, np.float64), len(r)
    if start.shape != (count,):
        raise EvalError(f"the baseline has shape {start.shape}; it needs one score for each of {count} tasks")
    gains = np.array([r[task - 1, task] - start[task] for task in range(1, count)])
    return float(gains.sum() / divisor) if np.isfinite(gains).all() else None
