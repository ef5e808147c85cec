"""Before a run: what n items can show, how many would settle a question, how often no change passes the gate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.statistics.means import stratified
from evalkit.statistics.significance import mcnemar
from evalkit.statistics.tango import tango

__all__ = ["chance_unchanged_passes", "items_needed", "minimum_detectable_effect", "wilson"]

Floats = NDArray[np.float64]

POWER = 0.80


def _power_z(alpha: float, power: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - alpha / 2) + ndtri(power))


def minimum_detectable_effect(psi: float, n: int, *, alpha: float = 0.05, power: float = POWER) -> float:
    """Smallest true difference that a two-sided test sees with the given power: (z.975 + z.80) sqrt(psi / n).

    Args:
        psi: Discordance, the share of items whose score flips; for other scores the mean squared difference.
        n: Items.
        alpha: Level of the test.
        power: Chance to see it.
    """
    return _power_z(alpha, power) * math.sqrt(psi / n)


def items_needed(psi: float, margin: float, *, alpha: float = 0.05, power: float = POWER) -> int | None:
    """Items after which a difference of ``margin`` is seen: (z.975 + z.80)^2 psi / m^2; None where margin is 0."""
    if margin <= 0:
        return None
    return max(1, math.ceil(_power_z(alpha, power) ** 2 * psi / margin**2))


def wilson(hits: float, n: float, *, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's score interval for a proportion."""
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha / 2))
    share, shrink = hits / n, 1 + z * z / n
    center = (share + z * z / (2 * n)) / shrink
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / shrink
    return max(0.0, center - half), min(1.0, center + half)


def _holm_rows(p: Floats) -> Floats:
    order = np.argsort(p, axis=1, kind="stable")
    tasks = p.shape[1]
    stepped = np.maximum.accumulate((tasks - np.arange(tasks)) * np.take_along_axis(p, order, axis=1), axis=1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), axis=1)
    return adjusted


def chance_unchanged_passes(
    tasks: Sequence[int],
    *,
    flips: ArrayLike = 0.07,
    margin: ArrayLike = 0.02,
    alpha: float = 0.05,
    simulations: int = 2_000,
    seed: int = 0,
    every_row_held: bool = False,
) -> float:
    """Chance that a model that lost nothing passes the gate, by simulation before anything is run.

    An unchanged model still flips answers, as many one way as the other (rounding, batch size, harmless drift).

    Args:
        tasks: Items of each general task.
        flips: Share of items that flip, one number or one per task; 4 to 10 % is usual.
        margin: Tolerable loss, one number or one per task.
        alpha: 1 - confidence, and the level after Holm's adjustment.
        simulations: Simulated suites.
        seed: Seed of the simulation.
        every_row_held: The stricter rule that is not our gate: every task has to be held or gained.
    """
    n = np.asarray(tasks, np.int64)
    psi, m = np.broadcast_to(np.asarray(flips, float), n.shape), np.broadcast_to(np.asarray(margin, float), n.shape)
    random = np.random.default_rng(seed)
    discordant = random.binomial(n, psi, size=(simulations, n.size))
    lost = random.binomial(discordant, 0.5)
    gained = discordant - lost
    low, high = tango(lost, gained, n, alpha=alpha)
    significant = _holm_rows(mcnemar(lost, gained)) <= alpha
    regressed = (low <= -m) & (high < 0) & significant
    _, suite_low, _ = stratified((gained - lost) / n, low, high)
    passes = ~regressed.any(axis=1) & (suite_low > -float(m.mean()))
    if every_row_held:
        passes &= (low > -m).all(axis=1)
    return float(passes.mean())
