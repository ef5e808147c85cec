"""Tests of no difference: exact McNemar, sign flips of whole clusters, Holm's adjustment over a suite."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["holm", "mcnemar", "sign_flip"]

Floats = NDArray[np.float64]

_BLOCK = 4_000_000  # random signs held at once


def mcnemar(lost: ArrayLike, gained: ArrayLike) -> Floats:
    """Exact two-sided p-value: twice the smaller binomial tail of lost among lost + gained, at most 1."""
    from scipy.special import bdtr

    x, y = np.asarray(lost, np.int64), np.asarray(gained, np.int64)
    p: Floats = np.minimum(1.0, 2 * bdtr(np.minimum(x, y).astype(np.float64), x + y, 0.5))
    return p


def sign_flip(sums: ArrayLike, *, draws: int = 10_000, seed: int = 0) -> float:
    """Permutation p-value of a sum that is symmetric around 0 under the null: every cluster's sign is drawn anew.

    Args:
        sums: Sum of differences of each cluster (or each item, where there are no clusters). Order does not matter.
        draws: Random sign patterns B.
        seed: Seed of the draws.

    Returns:
        ``(1 + hits) / (B + 1)``, hits counting patterns at least as far from 0 as the data.
    """
    sizes = np.sort(np.abs(np.asarray(sums, np.float64)))
    sizes = sizes[sizes > 0]
    observed = abs(float(np.sum(np.asarray(sums, np.float64))))
    if sizes.size == 0:
        return 1.0
    random = np.random.default_rng(seed)
    hits, done = 0, 0
    tolerance = 1e-9 * float(sizes.sum())
    while done < draws:
        count = min(draws - done, max(1, _BLOCK // sizes.size))
        signs = random.integers(0, 2, size=(count, sizes.size), dtype=np.int8)
        # sum of sign * size = 2 * (sum over the positive ones) - total
        totals = 2 * (signs.astype(np.float64) @ sizes) - sizes.sum()
        hits += int(np.count_nonzero(np.abs(totals) >= observed - tolerance))
        done += count
    return (1 + hits) / (draws + 1)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values, in the order given (S. Holm, Scand. J. Statist. 6, 1979)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    factors = p.size - np.arange(p.size)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return adjusted
