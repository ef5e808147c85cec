"""Two models under a metric of the whole set: paired bootstrap (BCa) over items or clusters, and a permutation test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from evalkit.errors import EvalError
from evalkit.set_metrics import MEASURES, Answers, Measure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from evalkit.paired import Paired

    Floats = NDArray[np.float64]

__all__ = ["SetMetric", "by_set", "set_metric"]

FEW = 10  # units that moved, below which the bootstrap is not trusted
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True)
class SetMetric:
    """A metric of the whole set before and after.

    Attributes:
        name: One of :data:`evalkit.set_metrics.MEASURES`.
        before: Value before.
        after: Value after.
        difference: after - before.
        interval: Paired bootstrap over items or clusters, BCa; widened where fewer than ten of them moved.
        method: How the interval was made.
        standard_error: Standard deviation of the bootstrap draws.
        p_value: Swapping both models' answers of whole clusters, two-sided; None where it was not asked for.
        influences: Per item the difference plus what the item adds to it (linearised, their mean is the difference),
            so that the metric can be resampled like item scores; None where it was not asked for.
    """

    name: str
    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    method: str = ""
    standard_error: float = float("nan")
    p_value: float | None = None
    influences: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)


def set_metric(
    name: str,
    targets: Sequence[str],
    before: Answers,
    after: Answers,
    *,
    clusters: ArrayLike | None = None,
    alpha: float = 0.05,
    seed: int = 0,
    test: bool = False,
) -> SetMetric:
    """Compares two columns of answers to the same targets.

    Args:
        name: ``macro_f1``, ``mcc``, ``pearson`` or ``entity_f1``.
        targets: Gold answers, shape (n,).
        before: Answers of the model before; None where it gave none.
        after: Answers of the model after.
        clusters: Cluster of each item.
        alpha: 1 - confidence.
        seed: Seed of bootstrap and permutations.
        test: Give p-value and influences too.

    Raises:
        EvalError: No such metric, unequal lengths, no item, or targets the metric cannot take.
    """
    import numpy as np

    from evalkit.statistics import bootstrap_totals

    if name not in MEASURES:
        raise EvalError(f"no metric '{name}' of a whole set", hint=f"Known: {', '.join(MEASURES)}")
    if not len(targets) == len(before) == len(after) > 0:
        raise EvalError(f"{len(targets)} targets, {len(before)} answers before and {len(after)} after")
    measure = MEASURES[name](targets, (before, after))
    old, new = measure.features(before), measure.features(after)
    which = np.arange(len(old))
    if clusters is not None:
        _, which = np.unique(np.asarray(clusters), return_inverse=True)
    old_units, new_units = _grouped(old, which), _grouped(new, which)
    k = old.shape[1]
    found = bootstrap_totals(
        np.hstack([old_units, new_units]),
        lambda totals: measure.value(totals[:, k:]) - measure.value(totals[:, :k]),
        alpha=alpha,
        seed=seed,
    )
    values = [float(measure.value(x.sum(axis=0, keepdims=True))[0]) for x in (old, new)]
    interval, method = _interval(measure, old, new, which, found.interval, alpha)
    return SetMetric(
        name=name,
        before=values[0],
        after=values[1],
        difference=found.estimate,
        interval=interval,
        method=method,
        standard_error=found.standard_error,
        p_value=_swap_test(measure, old_units, new_units, seed) if test else None,
        influences=_influences(measure, old, new) if test else None,
    )


def by_set(items: Paired, metric: SetMetric) -> Paired:
    """Figures of a row whose primary metric is one of the whole set: flips are the items', the rest the metric's."""
    from evalkit.statistics import beyond_margin, items_needed, minimum_detectable_effect, verdict

    found = verdict(metric.interval, items.margin)
    psi = max(items.n * (metric.standard_error**2 + metric.difference**2 / items.n), items.discordance)
    return replace(
        items,
        before=metric.before,
        after=metric.after,
        difference=metric.difference,
        standard_error=metric.standard_error,
        interval=metric.interval,
        method=metric.method,
        p_value=1.0 if metric.p_value is None else metric.p_value,
        verdict=found,
        beyond_margin=beyond_margin(metric.interval, items.margin) if found == "regressed" else None,
        retention=None,
        discordance=psi,
        minimum_detectable_effect=minimum_detectable_effect(psi, items.n, alpha=items.alpha),
        items_needed=items_needed(psi, items.margin, alpha=items.alpha),
    )


def _grouped(features: Floats, which: NDArray[np.int64]) -> Floats:
    import numpy as np

    grouped = np.zeros((int(which.max()) + 1, features.shape[1]))
    np.add.at(grouped, which, features)
    return grouped


def _interval(
    measure: Measure,
    old: Floats,
    new: Floats,
    which: NDArray[np.int64],
    bootstrap: tuple[float, float],
    alpha: float,
) -> tuple[tuple[float, float], str]:
    """The bootstrap's, unless few units moved: a bootstrap cannot draw what was not seen.

    Then it is widened to hold Tango's interval for the share of units that moved up and down, times the largest
    effect one unit could have on the metric (every item's answer is replaced by every alternative in turn).
    """
    import numpy as np

    from evalkit.statistics import tango

    units = int(which.max()) + 1
    if units == 1:
        return (-measure.span, measure.span), "one cluster: nothing is known"
    moved = np.flatnonzero(np.any(_grouped(np.abs(new - old), which) > 1e-12, axis=1))
    if moved.size >= FEW:
        return bootstrap, "paired bootstrap, BCa"
    # How far each moved unit alone takes the metric of the model before.
    totals, steps = old.sum(axis=0), _grouped(new - old, which)[moved]
    alone = measure.value(totals + steps) - measure.value(totals[None]) if moved.size else np.zeros(0)
    largest = int(np.bincount(which).max()) * _largest_effect(measure, new)
    low, high = tango(np.count_nonzero(alone < 0), np.count_nonzero(alone > 0), units, alpha=alpha)
    start = max(-measure.span, min(bootstrap[0], float(low) * units * largest))
    end = min(measure.span, max(bootstrap[1], float(high) * units * largest))
    return (start, end), "paired bootstrap, BCa, widened: fewer than ten items moved"


def _largest_effect(measure: Measure, features: Floats) -> float:
    import numpy as np

    totals = features.sum(axis=0)
    now, largest = float(measure.value(totals[None])[0]), 0.0
    for answers in measure.alternatives():
        steps = np.unique(measure.features(answers) - features, axis=0)
        largest = max(largest, float(np.abs(measure.value(totals + steps) - now).max()))
    return largest


def _swap_test(measure: Measure, old: Floats, new: Floats, seed: int, draws: int = 10_000) -> float:
    """(1 + hits) / (draws + 1): under the null it does not matter which model gave which answer to a unit."""
    import numpy as np

    steps = (new - old)[np.any(np.abs(new - old) > 1e-12, axis=1)]
    if not len(steps):
        return 1.0
    steps = steps[np.lexsort(steps.T)]  # the order of items must not matter
    start, end = old.sum(axis=0), new.sum(axis=0)
    observed = abs(float(measure.value(end[None])[0] - measure.value(start[None])[0]))
    random = np.random.default_rng(seed)
    hits, done, block = 0, 0, max(1, _BLOCK // max(len(steps), old.shape[1]))
    while done < draws:
        count = min(block, draws - done)
        swapped = random.integers(0, 2, size=(count, len(steps)), dtype=np.int8).astype(np.float64) @ steps
        differences = measure.value(end - swapped) - measure.value(start + swapped)
        hits += int(np.count_nonzero(np.abs(differences) >= observed - 1e-12))
        done += count
    return (1 + hits) / (draws + 1)


def _influences(measure: Measure, old: Floats, new: Floats) -> Floats:
    """Difference + (n - 1) (mean of the leave-one-out differences - the one without the item)."""
    import numpy as np

    k, n, joint = old.shape[1], len(old), np.hstack([old, new])
    whole = joint.sum(axis=0)

    def difference(totals: Floats) -> Floats:
        value: Floats = measure.value(totals[:, k:]) - measure.value(totals[:, :k])
        return value

    without = difference(whole - joint)
    result: Floats = difference(whole[None])[0] + (n - 1) * (without.mean() - without)
    return result
