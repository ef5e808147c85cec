"""Bootstrap of statistics that items enter only through totals, and of seeds and items together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Bootstrap", "TwoLevel", "bootstrap_mean", "bootstrap_totals", "draw_items", "draw_seeds", "two_level"]

Floats = NDArray[np.float64]

_BLOCK = 20_000_000  # weights held at once


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Estimate and percentile or BCa interval.

    Attributes:
        estimate: The statistic of the data.
        interval: Lower and upper end.
        standard_error: Standard deviation of the draws.
    """

    estimate: float
    interval: tuple[float, float]
    standard_error: float = float("nan")


@dataclass(frozen=True, slots=True)
class TwoLevel:
    """Seeds and items resampled together.

    Attributes:
        estimates: Mean difference of each arm.
        intervals: Percentile interval of each arm, shape (arms, 2).
        draws: Bootstrap draws, shape (resamples, arms); a row is one joint draw, so arms may be compared in it.
        seed_share: Share of each arm's variance that comes from the seeds; the rest comes from the items.
    """

    estimates: Floats
    intervals: Floats
    draws: Floats
    seed_share: Floats


def _draw_totals(features: Floats, resamples: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Distinct rows, how often each occurs, and totals of resamples: equal rows are drawn as one multinomial cell."""
    rows, counts = _distinct(features)
    random = np.random.default_rng(seed)
    units, block = int(counts.sum()), max(1, _BLOCK // len(rows))
    totals = [
        random.multinomial(units, counts / units, size=min(block, resamples - start)).astype(np.float64) @ rows
        for start in range(0, resamples, block)
    ]
    return rows, counts.astype(np.float64), np.concatenate(totals)


def _distinct(features: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """What ``np.unique(features, axis=0, return_counts=True)`` gives, a tenth of the time for few columns."""
    ordered = features[np.lexsort(features.T[::-1])]
    first = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
    starts = np.flatnonzero(first)
    return ordered[starts], np.diff(np.append(starts, len(ordered)))


def bootstrap_totals(
    features: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    alpha: float = 0.05,
    resamples: int = 2_000,
    seed: int = 0,
    bca: bool = True,
) -> Bootstrap:
    """Bootstrap of ``statistic(totals)`` over units (items, or whole clusters of them).

    Args:
        features: Shape (units, k); what a unit adds to each of k totals. Order does not matter.
        statistic: From totals of shape (m, k) to m values.
        alpha: 1 - confidence.
        resamples: Bootstrap draws.
        seed: Seed of the draws.
        bca: Bias-corrected and accelerated (B. Efron, JASA 82, 1987); the percentile interval otherwise.
    """
    x = np.asarray(features, np.float64)
    rows, counts, totals = _draw_totals(x, resamples, seed)
    whole = (counts @ rows)[None, :]
    estimate = float(statistic(whole)[0])
    draws = statistic(totals)
    levels = np.array([alpha / 2, 1 - alpha / 2])
    if bca and len(rows) > 1:
        levels = _bca_levels(draws, estimate, statistic(whole - rows), counts, levels)
    low, high = np.quantile(draws, levels)
    return Bootstrap(estimate, (float(low), float(high)), float(draws.std(ddof=1)))


def _bca_levels(draws: Floats, estimate: float, jackknife: Floats, counts: Floats, levels: Floats) -> Floats:
    from scipy.special import ndtr, ndtri

    below = (np.count_nonzero(draws < estimate) + 0.5 * np.count_nonzero(draws == estimate)) / draws.size
    bias = float(ndtri(np.clip(below, 0.5 / draws.size, 1 - 0.5 / draws.size)))
    deviations = np.sum(counts * jackknife) / np.sum(counts) - jackknife
    spread = float(np.sum(counts * deviations**2))
    acceleration = float(np.sum(counts * deviations**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = bias + ndtri(levels)
    adjusted: Floats = ndtr(bias + shifted / (1 - acceleration * shifted))
    return adjusted


def bootstrap_mean(
    sums: ArrayLike, sizes: ArrayLike, *, alpha: float = 0.05, resamples: int = 2_000, seed: int = 0
) -> Bootstrap:
    """Percentile interval of sum(sums) / sum(sizes) over clusters."""
    features = np.column_stack([np.asarray(sums, np.float64), np.asarray(sizes, np.float64)])
    return bootstrap_totals(
        features, lambda totals: totals[:, 0] / totals[:, 1], alpha=alpha, resamples=resamples, seed=seed, bca=False
    )


def draw_seeds(seeds: int, random: np.random.Generator, resamples: int) -> Floats:
    """Weight of each training seed in each draw, shape (resamples, seeds); every row sums to 1.

    Deviations from equal weights are scaled by sqrt(S/(S-1)): drawing S of S seeds would otherwise understate their
    variance by a third at S = 3.
    """
    drawn = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    weights: Floats = 1 / seeds + (drawn - 1 / seeds) * np.sqrt(seeds / max(seeds - 1, 1))
    return weights


def draw_items(
    stratum: ArrayLike, random: np.random.Generator, resamples: int, *, clusters: ArrayLike | None = None
) -> Floats:
    """Means over items drawn anew, the same items for every arm and seed; shape (resamples, arms, seeds).

    Args:
        stratum: Shape (arms, seeds, items).
        random: Source of the draws.
        resamples: Draws.
        clusters: Cluster of each item; whole clusters are drawn then.
    """
    x = np.asarray(stratum, np.float64)
    arms, seeds, items = x.shape
    flat, sizes = x.reshape(arms * seeds, items), np.ones((1, items))
    if clusters is not None:
        _, which = np.unique(np.asarray(clusters), return_inverse=True)
        grouped = np.zeros((int(which.max()) + 1, arms * seeds + 1))
        np.add.at(grouped, which, np.vstack([flat, sizes]).T)
        flat, sizes = grouped[:, :-1].T, grouped[:, -1:].T
    columns, counts = np.unique(np.vstack([flat, sizes]), axis=1, return_counts=True)
    units = int(counts.sum())
    block = max(1, _BLOCK // len(counts))
    totals = np.concatenate(
        [
            random.multinomial(units, counts / units, size=min(block, resamples - start)) @ columns.T
            for start in range(0, resamples, block)
        ]
    )
    means: Floats = totals[:, :-1] / totals[:, -1:]
    return means.reshape(resamples, arms, seeds)


def two_level(
    strata: Sequence[ArrayLike],
    *,
    clusters: Sequence[ArrayLike | None] | None = None,
    alpha: float = 0.05,
    resamples: int = 2_000,
    seed: int = 0,
) -> TwoLevel:
    """Interval for a method: training seeds are drawn, then items, the same seeds and items for every arm.

    Args:
        strata: One array per task of shape (arms, seeds, items), or (seeds, items) for one arm: differences after -
            before. The estimate is the mean over tasks of the mean over seeds and items.
        clusters: Cluster of each item, per task; whole clusters are drawn then.
        alpha: 1 - confidence.
        resamples: Joint draws.
        seed: Seed of the draws.

    Raises:
        ValueError: Fewer than 3 seeds; nothing can be said of a method then.
    """
    data = [x[None] if x.ndim == 2 else x for x in (np.asarray(stratum, np.float64) for stratum in strata)]
    seeds = data[0].shape[1]
    if seeds < 3:
        raise ValueError(f"a sentence about a method needs at least 3 seeds, not {seeds}")
    random = np.random.default_rng(seed)
    seed_weights = draw_seeds(seeds, random, resamples)
    both, only_seeds, only_items = (np.zeros((resamples, data[0].shape[0])) for _ in range(3))
    for stratum, named in zip(data, clusters or [None] * len(data), strict=True):
        per_seed = draw_items(stratum, random, resamples, clusters=named)
        both += np.einsum("ras,rs->ra", per_seed, seed_weights) / len(data)
        only_items += per_seed.mean(axis=2) / len(data)
        only_seeds += seed_weights @ stratum.mean(axis=2).T / len(data)
    variances = only_seeds.var(axis=0), only_items.var(axis=0)
    total = variances[0] + variances[1]
    return TwoLevel(
        estimates=np.mean([x.mean(axis=(1, 2)) for x in data], axis=0),
        intervals=np.quantile(both, [alpha / 2, 1 - alpha / 2], axis=0).T,
        draws=both,
        seed_share=np.divide(variances[0], total, out=np.zeros_like(total), where=total > 0),
    )
