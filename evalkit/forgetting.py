"""Measures of forgetting: adjusted for guessing, and retention; for sequences of tasks see ``evalkit.sequences``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import EvalError
from evalkit.sequences import CONVENTIONS, Convention, Sequence, sequence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CONVENTIONS", "Adjusted", "Convention", "Sequence", "adjusted_forgetting", "retention", "sequence"]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A share of items, less what guessing alone would show.

    Attributes:
        value: Share of all items, at least 0.
        interval: Percentile interval of the unclipped value, its ends clipped at 0.
        unclipped: The estimate before clipping; below 0 it says that guessing explains more than was seen.
    """

    value: float
    interval: tuple[float, float]
    unclipped: float


def _adjusted(
    flipped: NDArray[np.float64], luck: NDArray[np.float64], clusters: ArrayLike | None, alpha: float, seed: int
) -> Adjusted:
    from evalkit.statistics import bootstrap_mean, cluster_totals

    sums, sizes = cluster_totals(flipped - luck, clusters)
    found = bootstrap_mean(sums, sizes, alpha=alpha, seed=seed)
    low, high = (max(0.0, end) for end in found.interval)
    return Adjusted(max(0.0, found.estimate), (low, high), found.estimate)


def adjusted_forgetting(
    before: ArrayLike,
    after: ArrayLike,
    chance: ArrayLike = 0.0,
    *,
    clusters: ArrayLike | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> tuple[Adjusted, Adjusted]:
    """Share of items forgotten, and learnt, beyond what guessing explains.

    An unknown item is guessed right with chance c in either run, so among unknown items right-then-wrong occurs
    c/(1-c) times as often as wrong-twice. forgetting = n10/n - mean((1-a0)(1-a1) c/(1-c)), transfer with n01. A
    diagnostic: it assumes that the two guesses are independent.

    Args:
        before: Scores 0 or 1, shape (n,).
        after: Scores 0 or 1 of the same items.
        chance: Score of guessing, one number or one per item; 0 for open answers.
        clusters: Cluster of each item.
        alpha: 1 - confidence.
        seed: Seed of the bootstrap.

    Returns:
        ``(forgetting, transfer)``.

    Raises:
        EvalError: A score that is neither 0 nor 1, or a chance outside [0, 1).
    """
    import numpy as np

    b, a = np.asarray(before, np.float64), np.asarray(after, np.float64)
    c = np.broadcast_to(np.asarray(chance, np.float64), b.shape)
    if not (np.isin(b, (0, 1)).all() and np.isin(a, (0, 1)).all()):
        raise EvalError("forgetting adjusted for guessing needs scores that are 0 or 1")
    if not ((c >= 0) & (c < 1)).all():
        raise EvalError("the chance of guessing must lie in [0, 1)")
    luck = (1 - b) * (1 - a) * c / (1 - c)
    return (
        _adjusted(b * (1 - a), luck, clusters, alpha, seed),
        _adjusted((1 - b) * a, luck, clusters, alpha, seed),
    )


def retention(before: float, after: float, chance: float = 0.0) -> float | None:
    """Kept share of what the model could do above guessing: (a1 - c)/(a0 - c); None where a0 is not above c."""
    return (after - chance) / (before - chance) if before > chance else None
