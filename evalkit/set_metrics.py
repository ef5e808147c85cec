"""Metrics that are no mean over items (macro-F1, MCC, Pearson), paired by resampling the items both models answered.

Each is a function of totals that items add to, so resampling items is weighting their contributions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["SetMetric", "macro_f1", "mcc", "pearson"]


@dataclass(frozen=True, slots=True)
class SetMetric:
    """A metric of the whole set before and after.

    Attributes:
        name: ``macro_f1``, ``mcc`` or ``pearson``.
        before: Value before.
        after: Value after.
        difference: after - before.
        interval: Paired bootstrap over items or clusters, BCa.
    """

    name: str
    before: float
    after: float
    difference: float
    interval: tuple[float, float]


def macro_f1(
    targets: Sequence[str],
    before: Sequence[str | None],
    after: Sequence[str | None],
    *,
    clusters: ArrayLike | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> SetMetric:
    """Mean over the gold labels of F1; an answer that is no label counts as wrong for the label it should have been.

    The labels are those of the targets (scikit-learn's ``f1_score(labels=sorted(set(targets)), average="macro",
    zero_division=0)``); they stay the same in every resample.
    """
    import numpy as np

    labels, gold = np.unique(np.asarray(targets, dtype=object).astype(str), return_inverse=True)
    one_hot = np.eye(len(labels))

    def counts(answers: Sequence[str | None]) -> Floats:
        index = {label: position for position, label in enumerate(labels)}
        padded = np.vstack([one_hot, np.zeros(len(labels))])
        given = padded[[index.get("" if answer is None else answer, len(labels)) for answer in answers]]
        return np.hstack([given * one_hot[gold], given])

    def f1(totals: Floats, support: Floats) -> Floats:
        hits, given = np.split(totals, 2, axis=1)
        whole = given + support
        value: Floats = np.divide(2 * hits, whole, out=np.zeros_like(hits), where=whole > 0).mean(axis=1)
        return value

    features = np.hstack([one_hot[gold], counts(before), counts(after)])
    k = len(labels)
    return _paired(
        "macro_f1",
        features,
        lambda totals: f1(totals[:, k : 3 * k], totals[:, :k]),
        lambda totals: f1(totals[:, 3 * k :], totals[:, :k]),
        clusters,
        alpha,
        seed,
    )


def mcc(
    targets: Sequence[str],
    before: Sequence[str | None],
    after: Sequence[str | None],
    *,
    clusters: ArrayLike | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> SetMetric:
    """Matthews' correlation coefficient, for any number of classes (Gorodkin 2004); 0 where it is undefined."""
    import numpy as np

    answers = [["" if answer is None else str(answer) for answer in given] for given in (before, after)]
    labels = sorted({*map(str, targets), *answers[0], *answers[1]})
    index, one_hot = {label: position for position, label in enumerate(labels)}, np.eye(len(labels))
    gold, old, new = (one_hot[[index[str(x)] for x in column]] for column in (targets, *answers))
    k = len(labels)

    def value(support: Floats, given: Floats, hits: Floats) -> Floats:
        n = support.sum(axis=1)
        top = hits * n - np.sum(support * given, axis=1)
        below = np.sqrt((n**2 - np.sum(given**2, axis=1)) * (n**2 - np.sum(support**2, axis=1)))
        result: Floats = np.divide(top, below, out=np.zeros_like(top), where=below > 0)
        return result

    hits = np.column_stack([np.sum(gold * old, axis=1), np.sum(gold * new, axis=1)])
    return _paired(
        "mcc",
        np.hstack([gold, old, new, hits]),
        lambda totals: value(totals[:, :k], totals[:, k : 2 * k], totals[:, -2]),
        lambda totals: value(totals[:, :k], totals[:, 2 * k : 3 * k], totals[:, -1]),
        clusters,
        alpha,
        seed,
    )


def pearson(
    targets: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> SetMetric:
    """Pearson's correlation with numeric targets; 0 where a column is constant."""
    import numpy as np

    t, old, new = (np.asarray(x, np.float64) - np.mean(np.asarray(x, np.float64)) for x in (targets, before, after))
    columns = [np.ones_like(t), t, t * t, old, old * old, old * t, new, new * new, new * t]

    def correlation(totals: Floats, at: int) -> Floats:
        n, st, stt = totals[:, 0], totals[:, 1], totals[:, 2]
        sx, sxx, sxt = totals[:, at], totals[:, at + 1], totals[:, at + 2]
        below = np.sqrt(np.maximum(n * sxx - sx**2, 0) * np.maximum(n * stt - st**2, 0))
        top = n * sxt - sx * st
        value: Floats = np.divide(top, below, out=np.zeros_like(top), where=below > 0)
        return value

    return _paired(
        "pearson",
        np.column_stack(columns),
        lambda totals: correlation(totals, 3),
        lambda totals: correlation(totals, 6),
        clusters,
        alpha,
        seed,
    )


def _paired(
    name: str,
    features: Floats,
    before: Callable[[Floats], Floats],
    after: Callable[[Floats], Floats],
    clusters: ArrayLike | None,
    alpha: float,
    seed: int,
) -> SetMetric:
    import numpy as np

    from evalkit.statistics import bootstrap_totals

    if clusters is not None:
        _, which = np.unique(np.asarray(clusters), return_inverse=True)
        grouped = np.zeros((which.max() + 1, features.shape[1]))
        np.add.at(grouped, which, features)
        features = grouped
    whole = features.sum(axis=0, keepdims=True)
    found = bootstrap_totals(features, lambda totals: after(totals) - before(totals), alpha=alpha, seed=seed)
    return SetMetric(name, float(before(whole)[0]), float(after(whole)[0]), found.estimate, found.interval)
