"""Drift on text without labels: the rise of cross-entropy per token and in bits per byte; never in the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import EvalError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evalkit.guard import TaskPair

    Floats = NDArray[np.float64]

__all__ = ["Drift", "Rise", "kl_to_base", "measure_drift"]


@dataclass(frozen=True, slots=True)
class Rise:
    """A ratio of totals before and after; a rise is worse.

    Attributes:
        before: Value before.
        after: Value after.
        difference: after - before.
        interval: t interval, clustered by document; None for a single document.
    """

    before: float
    after: float
    difference: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Drift:
    """One text task.

    Attributes:
        task: Name.
        description: One line for the report.
        documents: Documents (clusters).
        tokens: Tokens scored; 0 where the log has no counts.
        per_token: Cross-entropy in nats per token; None where the two models cut the text into other tokens.
        bits_per_byte: None where the log has no counts of bytes.
        kl: Mean KL(before || after) in nats per token over the documents it was measured on while the later model was
            evaluated; None where it was not.
        kl_interval: Its t interval, clustered by document; None for a single document.
    """

    task: str
    description: str
    documents: int
    tokens: int
    per_token: Rise | None
    bits_per_byte: Rise | None
    kl: float | None
    kl_interval: tuple[float, float] | None = None


def _column(table: pa.Table, name: str) -> Floats:
    import numpy as np

    return np.asarray(table.column(name).cast("float64").to_numpy(zero_copy_only=False), np.float64)


def kl_to_base(
    table: pa.Table, weights: Floats | None = None, *, alpha: float = 0.05
) -> tuple[float | None, tuple[float, float] | None]:
    """Mean KL to the base over the items it was measured on, and its t interval, clustered; KL is never below 0.

    Args:
        table: Items of the later log.
        weights: Tokens of each item; None weighs all items the same.
        alpha: 1 - confidence.

    Returns:
        Mean and interval; None for what is not known: nothing measured, or items of a single cluster.
    """
    import numpy as np

    values = _column(table, "kl_to_base")
    units = np.ones_like(values) if weights is None else weights
    known = np.isfinite(values) & (units > 0)
    if not known.any():
        return None, None
    _, which = np.unique(np.array(_documents(table))[known], return_inverse=True)
    values, units = values[known], units[known]
    rise = _rise(np.zeros_like(values), values * units, units, which, alpha)
    ends = rise.interval and (max(0.0, rise.interval[0]), rise.interval[1])
    return rise.difference, ends


def _documents(table: pa.Table) -> list[str]:
    clusters, ids = table.column("cluster").to_pylist(), table.column("item_id").to_pylist()
    return [f"i:{item}" if cluster is None else f"c:{cluster}" for cluster, item in zip(clusters, ids, strict=True)]


def _rise(before: Floats, after: Floats, units: Floats, which: NDArray[np.int64], alpha: float) -> Rise:
    """Ratio estimate sum(nll) / sum(units) with the linearised error over documents."""
    import numpy as np

    from evalkit.statistics import clustered_error, t_interval

    total = float(units.sum())
    sums, sizes = (np.bincount(which, weights=x).astype(np.float64) for x in (after - before, units))
    difference = float(sums.sum()) / total
    interval = None
    if sums.size > 1:
        interval = t_interval(difference, clustered_error(sums, sizes), sums.size, alpha=alpha)
    return Rise(float(before.sum()) / total, float(after.sum()) / total, difference, interval)


def measure_drift(pair: TaskPair, *, alpha: float = 0.05) -> Drift:
    """Compares the log-likelihoods both models gave to the same texts.

    Uses ``sum_logprob``, ``n_tokens`` and ``n_bytes``; where a log has none of them, the scores themselves (nats per
    token of a document) with equal weights.

    Raises:
        EvalError: Byte counts of a document differ although its hash does not.
    """
    import numpy as np

    _, which = np.unique(_documents(pair.before), return_inverse=True)
    documents = int(which.max()) + 1
    nll = [-_column(table, "sum_logprob") for table in (pair.before, pair.after)]
    if not all(np.isfinite(x).all() for x in nll):
        scores = [_column(table, "score") for table in (pair.before, pair.after)]
        rise = _rise(scores[0], scores[1], np.ones_like(scores[0]), which, alpha)
        return Drift(pair.task, pair.info.description, documents, 0, rise, None, None)
    tokens = [_column(table, "n_tokens") for table in (pair.before, pair.after)]
    octets = [_column(table, "n_bytes") for table in (pair.before, pair.after)]
    known = [all(np.isfinite(x).all() and x.sum() > 0 for x in columns) for columns in (tokens, octets)]
    if known[1] and not np.array_equal(octets[0], octets[1]):
        at = int(np.flatnonzero(octets[0] != octets[1])[0])
        item = pair.before.column("item_id")[at].as_py()
        raise EvalError(f"item '{item}' of task '{pair.task}' has other byte counts in the two logs")
    same_tokens = known[0] and np.array_equal(tokens[0], tokens[1])
    bits = [x / np.log(2) for x in nll]
    kl, ends = kl_to_base(pair.after, tokens[1] if known[0] else None, alpha=alpha)
    return Drift(
        task=pair.task,
        description=pair.info.description,
        documents=documents,
        tokens=int(tokens[1].sum()) if known[0] else 0,
        per_token=_rise(nll[0], nll[1], tokens[0], which, alpha) if same_tokens else None,
        bits_per_byte=_rise(bits[0], bits[1], octets[0], which, alpha) if known[1] else None,
        kl=kl,
        kl_interval=ends,
    )
