"""Two models on the same items: the difference, how sure it is, and what that means against a tolerable loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evalkit.errors import EvalError
from evalkit.forgetting import Adjusted, adjusted_forgetting, retention

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from evalkit.statistics import Verdict

    Floats = NDArray[np.float64]

__all__ = ["Paired", "paired"]

FEW = 10  # clusters that moved, below which normal theory is not trusted
FEW_DISCORDANT = 5  # below which the discordance is replaced by its upper bound


@dataclass(frozen=True, slots=True)
class Paired:
    """Comparison of two score vectors; differences are after - before, in points of the score (0.01 = 1 point).

    Attributes:
        n: Items.
        clusters: Clusters of items, None where every item stands for itself.
        before: Mean score before.
        after: Mean score after.
        difference: after - before.
        standard_error: Of the difference, clustered where there are clusters; NaN for a single cluster.
        interval: Two-sided interval at 1 - alpha.
        method: How the interval was made.
        p_value: Two-sided: exact McNemar, or sign flips of whole clusters.
        verdict: ``gained``, ``held``, ``regressed`` or ``unsure``.
        beyond_margin: For a regressed row, whether the loss is above the margin for ``certain`` or ``possible``.
        lost: Items whose score fell (right before, wrong after: forgotten).
        gained: Items whose score rose.
        both_right: Items fully right before and after.
        both_wrong: Items fully wrong before and after.
        forgetting: Share forgotten beyond guessing; None for scores other than 0 and 1.
        transfer: Share learnt beyond guessing; None for scores other than 0 and 1.
        retention: Kept share of what was above chance; None where before is not above chance.
        discordance: psi, the share of items that flipped (mean squared difference, with the clusters' effect).
        minimum_detectable_effect: Smallest true difference seen with 80 % power at this n.
        items_needed: Items after which a loss of ``margin`` would be seen with 80 % power; None for margin 0.
        margin: Loss called tolerable.
        alpha: 1 - confidence.
    """

    n: int
    clusters: int | None
    before: float
    after: float
    difference: float
    standard_error: float
    interval: tuple[float, float]
    method: str
    p_value: float
    verdict: Verdict
    beyond_margin: Literal["certain", "possible"] | None
    lost: int
    gained: int
    both_right: int
    both_wrong: int
    forgetting: Adjusted | None
    transfer: Adjusted | None
    retention: float | None
    discordance: float
    minimum_detectable_effect: float
    items_needed: int | None
    margin: float
    alpha: float

    @property
    def ruled_out(self) -> float:
        """The interval rules out every loss larger than this (0 where it rules out any)."""
        return max(0.0, -self.interval[0])


def _scores(values: ArrayLike, name: str) -> Floats:
    import numpy as np

    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise EvalError(f"the scores {name} must be a list of at least one number, not of shape {x.shape}")
    wrong = np.flatnonzero(~((x >= 0) & (x <= 1)))
    if wrong.size:
        raise EvalError(f"score {name} of item {wrong[0]} is {x[wrong[0]]}; accepted are numbers from 0 to 1")
    return x


def paired(
    before: ArrayLike,
    after: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    chance: ArrayLike | None = None,
    margin: float = 0.02,
    alpha: float = 0.05,
    seed: int = 0,
) -> Paired:
    """Compares the scores of two models on the same items.

    Args:
        before: Scores in [0, 1], shape (n,).
        after: Scores of the same items in the same order.
        clusters: Cluster of each item (questions on one passage, say); None where items are independent, which is also
            assumed where no cluster has two items.
        chance: Score of guessing, one number or one per item; None or 0 for open answers.
        margin: Loss called tolerable, in points of the score.
        alpha: 1 - confidence.
        seed: Seed of sign flips and bootstrap.

    Raises:
        EvalError: Unequal lengths, an empty list, or a score that is NaN or outside [0, 1].

    Sources: Tango 1998 (binary), Miller 2024 (clusters), Waudby-Smith and Ramdas 2024 (few clusters); measures.md.
    """
    import numpy as np

    from evalkit import statistics

    b, a, named = _checked(before, after, clusters, margin)
    d, binary = a - b, bool(np.isin(b, (0, 1)).all() and np.isin(a, (0, 1)).all())
    sums, sizes = statistics.cluster_totals(d, named)
    error = statistics.clustered_error(sums, sizes)
    simple, chances = binary and named is None, np.asarray(0.0 if chance is None else chance, np.float64)
    interval, method = _interval(d, sums, sizes, error, simple, binary, alpha, seed)
    verdict = statistics.verdict(interval, margin)
    psi = _discordance(d, sums, error, simple=simple, alpha=alpha)
    lost, gained = int(np.count_nonzero(d < 0)), int(np.count_nonzero(d > 0))
    forgotten, learnt = (
        adjusted_forgetting(b, a, chances, clusters=named, alpha=alpha, seed=seed) if binary else (None, None)
    )
    return Paired(
        n=b.size,
        clusters=None if named is None else sums.size,
        before=_mean(b),
        after=_mean(a),
        difference=_mean(d),
        standard_error=error,
        interval=interval,
        method=method,
        p_value=float(statistics.mcnemar(lost, gained)) if simple else statistics.sign_flip(sums, seed=seed),
        verdict=verdict,
        beyond_margin=statistics.beyond_margin(interval, margin) if verdict == "regressed" else None,
        lost=lost,
        gained=gained,
        both_right=int(np.count_nonzero((b == 1) & (a == 1))),
        both_wrong=int(np.count_nonzero((b == 0) & (a == 0))),
        forgetting=forgotten,
        transfer=learnt,
        retention=retention(_mean(b), _mean(a), float(np.mean(chances))),
        discordance=psi,
        minimum_detectable_effect=statistics.minimum_detectable_effect(psi, b.size, alpha=alpha),
        items_needed=statistics.items_needed(psi, margin, alpha=alpha),
        margin=margin,
        alpha=alpha,
    )


def _mean(values: Floats) -> float:
    """Mean by an exact sum, so that the order of items cannot matter."""
    import math

    return math.fsum(values) / values.size


def _checked(
    before: ArrayLike, after: ArrayLike, clusters: ArrayLike | None, margin: float
) -> tuple[Floats, Floats, NDArray[Any] | None]:
    """Scores and clusters as arrays; clusters of one item each are none."""
    import numpy as np

    b, a = _scores(before, "before"), _scores(after, "after")
    if b.shape != a.shape:
        raise EvalError(f"{b.size} scores before and {a.size} after; they must be of the same items")
    if margin < 0:
        raise EvalError(f"the margin is {margin}; accepted are losses of 0 or more")
    named = None if clusters is None else np.asarray(clusters)
    if named is not None and len(named) != b.size:
        raise EvalError(f"{len(named)} clusters for {b.size} items")
    if named is not None and len(set(named.tolist())) == b.size:
        named = None
    return b, a, named


def _interval(
    d: Floats, sums: Floats, sizes: Floats, error: float, simple: bool, binary: bool, alpha: float, seed: int
) -> tuple[tuple[float, float], str]:
    """The interval of measures.md and its name; ``simple`` means 0/1 scores without clusters."""
    import numpy as np

    from evalkit import statistics

    n, count = d.size, sums.size
    lost, gained = np.count_nonzero(d < 0), np.count_nonzero(d > 0)
    if simple:
        low, high = statistics.tango(lost, gained, n, alpha=alpha)
        return (float(low), float(high)), "Tango's score interval"
    if count == 1:
        return (-1.0, 1.0), "one cluster: nothing is known"
    start, end = statistics.t_interval(float(d.mean()), error, count, alpha=alpha)
    name = "Student's t on the clustered error" if count < n else "Student's t"
    if np.count_nonzero(np.abs(sums) > 1e-12) < FEW:
        if binary:
            low, high = statistics.tango(lost * count / n, gained * count / n, count, alpha=alpha)
            wide = (float(low), float(high))
        else:
            # clusters of unequal size: their sums over the largest size lie in [-1, 1]
            scale = count * float(sizes.max()) / n
            wide_low, wide_high = statistics.betting(sums / sizes.max(), alpha=alpha, seed=seed)
            wide = (wide_low * scale, wide_high * scale)
        start, end = min(start, wide[0]), max(end, wide[1])
        name += ", widened: fewer than ten clusters moved"
    return (max(-1.0, start), min(1.0, end)), name


def _discordance(d: Floats, sums: Floats, error: float, *, simple: bool, alpha: float) -> float:
    """Discordance psi per item, such that psi/n is the variance of the difference where nothing changed on average."""
    import numpy as np

    from evalkit.statistics import wilson

    psi = float(np.mean(d**2))
    if np.count_nonzero(np.abs(sums) > 1e-12) < FEW_DISCORDANT:
        psi = max(psi, wilson(d.size * psi, d.size, alpha=alpha)[1])
    if not simple and np.isfinite(error):
        psi = max(psi, d.size * error**2 + float(d.mean()) ** 2)
    return psi
