"""Errors and intervals of a mean of paired differences: clustered, Student's t, and by betting."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["betting", "cluster_totals", "clustered_error", "stratified", "t_interval"]

Floats = NDArray[np.float64]

_HALVINGS = 40
_TRUNCATION = 0.5  # c of Waudby-Smith and Ramdas: a bet never risks more than half of the wealth


def cluster_totals(values: ArrayLike, clusters: ArrayLike | None) -> tuple[Floats, Floats]:
    """Sum of the values and number of items per cluster, sorted, so that the order of items cannot matter.

    Without clusters every item is its own.
    """
    x = np.asarray(values, np.float64)
    if clusters is None:
        return np.sort(x), np.ones_like(x)
    _, which = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(which, weights=x).astype(np.float64)
    sizes = np.bincount(which).astype(np.float64)
    # fsum-like exactness is not needed, but equal multisets of clusters must give equal results
    order = np.lexsort((sizes, np.round(sums, 12)))
    return sums[order], sizes[order]


def clustered_error(sums: Floats, sizes: Floats) -> float:
    """Standard error of the mean: sqrt(C/(C-1) sum_c (sum_{i in c} (d_i - mean d))^2) / n; NaN for one cluster.

    Source: E. Miller, arXiv 2411.00640, with the small-sample factor of cluster-robust least squares. Where every
    item is its own cluster this is the sample standard deviation over sqrt(n).
    """
    count, n = sums.size, float(sizes.sum())
    if count < 2:
        return float("nan")
    residuals = sums - sizes * (float(sums.sum()) / n)
    return float(np.sqrt(count / (count - 1) * np.sum(residuals**2)) / n)


def t_interval(mean: float, error: float, clusters: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Student's interval with C - 1 degrees of freedom; unbounded for one cluster."""
    from scipy.special import stdtrit

    if clusters < 2:
        return float("-inf"), float("inf")
    half = float(stdtrit(clusters - 1, 1 - alpha / 2)) * error
    return mean - half, mean + half


def _log_wealth(x: Floats, bets: Floats, mean: float) -> float:
    """Logarithm of the hedged wealth against ``mean``: the larger of half a bet on above and half a bet on below."""
    above = np.minimum(bets, _TRUNCATION / max(mean, 1e-12))
    below = np.minimum(bets, _TRUNCATION / max(1 - mean, 1e-12))
    up = float(np.sum(np.log1p(above * (x - mean))))
    down = float(np.sum(np.log1p(-below * (x - mean))))
    return max(up, down) - float(np.log(2))


def _bet_sizes(x: Floats, alpha: float) -> Floats:
    """Predictable plug-in bets: sqrt(2 log(2/alpha) / (n s_{t-1}^2)) from the values before each."""
    t = np.arange(1, x.size + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (t + 1)
    before = np.concatenate(([0.25], variances[:-1]))
    sizes: Floats = np.sqrt(2 * np.log(2 / alpha) / (x.size * before))
    return sizes


def betting(values: ArrayLike, *, alpha: float = 0.05, seed: int = 0) -> tuple[float, float]:
    """Confidence interval for the mean of values in [-1, 1] that needs no normality: hedged capital.

    The values are put in a seeded random order (from their sorted order, and from the orientation with mean >= 0, so
    that neither the order of items nor the sign of the comparison matters); a mean is rejected when betting against
    it multiplies the stake by 1/alpha.

    Source: I. Waudby-Smith and A. Ramdas, JRSS B 86 (2024) 1-27, theorem 3 with the plug-in bets of section 4.2.
    """
    y = np.sort(np.asarray(values, np.float64))
    flipped = np.sort(-y)
    if (y.sum(), *y) < (flipped.sum(), *flipped):
        lower, upper = betting(flipped, alpha=alpha, seed=seed)
        return -upper, -lower
    x = np.random.default_rng(seed).permutation(np.clip((y + 1) / 2, 0, 1))
    bets, threshold, center = _bet_sizes(x, alpha), float(np.log(1 / alpha)), float(x.mean())
    ends = []
    for outer in (0.0, 1.0):
        inside, outside = center, outer
        if _log_wealth(x, bets, outer) < threshold:
            ends.append(outer)
            continue
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if _log_wealth(x, bets, middle) < threshold:
                inside = middle
            else:
                outside = middle
        ends.append(inside)
    return 2 * ends[0] - 1, 2 * ends[1] - 1


def stratified(differences: ArrayLike, lowers: ArrayLike, uppers: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Mean over strata (last axis) with an interval that adds each stratum's own errors in squares.

    An end lies at mean -+ sqrt(sum_t e_t^2) / T, e_t being stratum t's distance from estimate to that end. With many
    items this is the usual stratified error times z; with few flips it keeps what the score intervals know, where a
    stratum without a single flip would otherwise count as certain.

    Source: G. Zou and A. Donner, Statistics in Medicine 27 (2008) 1693-1702 (method of variance estimates recovery).
    """
    d, low, high = (np.asarray(values, np.float64) for values in (differences, lowers, uppers))
    strata, mean = d.shape[-1], d.mean(axis=-1)
    return (
        mean,
        mean - np.sqrt(np.sum((d - low) ** 2, axis=-1)) / strata,
        mean + np.sqrt(np.sum((high - d) ** 2, axis=-1)) / strata,
    )
