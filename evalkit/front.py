"""The price of forgetting: gain on the task against loss on the suite, and how sure it is which arms are on the front.

All arms are resampled together (the same seeds, the same items), so that what they share cancels when they are
compared with one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evalkit.errors import EvalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from evalkit.comparison import Comparison, Row

    Floats = NDArray[np.float64]

__all__ = ["Front", "FrontArm", "FrontPoint", "front", "front_of"]

MIN_SEEDS = 3  # a sentence about a method needs as many


@dataclass(frozen=True, slots=True)
class FrontArm:
    """Differences after - before of one arm.

    Attributes:
        name: Of the arm.
        gain: One array per task of the user's own: shape (items,), or (seeds, items).
        general: One array per general task, of the same kind of shape.
    """

    name: str
    gain: Sequence[ArrayLike]
    general: Sequence[ArrayLike]


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """Where an arm stands.

    Attributes:
        name: Of the arm.
        gain: Mean difference over the user's tasks.
        gain_interval: Percentile interval of the joint bootstrap.
        loss: Mean loss over the general tasks, before - after; negative where the suite got better.
        loss_interval: Percentile interval of the joint bootstrap.
        on_front: No other arm, and not the untouched base, gains as much and loses as little.
        share: Share of the joint draws in which it is on the front.
    """

    name: str
    gain: float
    gain_interval: tuple[float, float]
    loss: float
    loss_interval: tuple[float, float]
    on_front: bool
    share: float


@dataclass(frozen=True, slots=True)
class Front:
    """All arms.

    Attributes:
        points: In the order given.
        level: What was drawn: ``items``, so that figures speak of these checkpoints, or ``seeds and items``, so that
            they speak of the methods.
        resamples: Joint draws.
    """

    points: tuple[FrontPoint, ...]
    level: Literal["items", "seeds and items"]
    resamples: int

    def on(self) -> tuple[FrontPoint, ...]:
        """The points on the front, by rising loss."""
        return tuple(sorted((point for point in self.points if point.on_front), key=lambda point: point.loss))

    def point(self, name: str) -> FrontPoint:
        """The point of an arm.

        Raises:
            EvalError: No such arm.
        """
        for point in self.points:
            if point.name == name:
                return point
        raise EvalError(f"no arm '{name}'", hint=f"Arms: {', '.join(point.name for point in self.points)}")


def front(
    arms: Sequence[FrontArm],
    *,
    gain_clusters: Sequence[ArrayLike | None] | None = None,
    general_clusters: Sequence[ArrayLike | None] | None = None,
    base: bool = True,
    alpha: float = 0.05,
    resamples: int = 2_000,
    seed: int = 0,
) -> Front:
    """Places every arm by what it gained and what that cost.

    Seeds and items are drawn together where every arm has the same number of seeds and at least three; otherwise
    items alone, of the mean over the seeds there are.

    Args:
        arms: On the same tasks and the same items in the same order.
        gain_clusters: Cluster of each item of each gain task.
        general_clusters: Cluster of each item of each general task.
        base: The untouched base (gain 0, loss 0) may push an arm off the front: an arm that gains nothing and loses
            something is worse than leaving the model alone.
        alpha: 1 - confidence.
        resamples: Joint draws.
        seed: Seed of the draws.

    Raises:
        EvalError: No arm, an arm named twice, no task of either kind, or arms that do not have the same items.
    """
    import numpy as np

    gains = _strata(arms, "gain", "task of the user's own")
    general = _strata(arms, "general", "general task")
    seeds = gains[0][0].shape[0]
    even = all(x.shape[0] == seeds for task in (*gains, *general) for x in task) and seeds >= MIN_SEEDS
    clusters = [*(gain_clusters or [None] * len(gains)), *(general_clusters or [None] * len(general))]
    estimates, draws = _draws([*gains, *general], len(gains), clusters, even=even, resamples=resamples, seed=seed)
    ends = np.quantile(draws, [alpha / 2, 1 - alpha / 2], axis=1)
    now = _on_front(estimates[None, 0], estimates[None, 1], base=base)[0]
    share = _on_front(draws[0], draws[1], base=base).mean(axis=0)
    points = tuple(
        FrontPoint(
            name=arm.name,
            gain=float(estimates[0, at]),
            gain_interval=(float(ends[0, 0, at]), float(ends[1, 0, at])),
            loss=float(estimates[1, at]),
            loss_interval=(float(ends[0, 1, at]), float(ends[1, 1, at])),
            on_front=bool(now[at]),
            share=float(share[at]),
        )
        for at, arm in enumerate(arms)
    )
    return Front(points, "seeds and items" if even else "items", resamples)


def front_of(
    arms: Mapping[str, Sequence[Comparison]], *, base: bool = True, alpha: float = 0.05, seed: int = 0
) -> Front:
    """The front of arms given by their comparisons with one base, one comparison per seed.

    Raises:
        EvalError: As :func:`front`, or seeds of an arm that do not have the same tasks.
    """
    first = next((own[0] for own in arms.values() if own), None)
    if first is None:
        raise EvalError("no arm to place on the front")

    def stacked(name: str, rows: Sequence[Sequence[Row]], like: Sequence[Row]) -> list[ArrayLike]:
        import numpy as np

        for own in rows:
            for row, other in zip(own, like, strict=False):
                if (row.task, row.items) != (other.task, other.items):
                    raise EvalError(f"arm '{name}': task '{row.task}' does not have the items that the other arms have")
            if len(own) != len(like):
                raise EvalError(f"arm '{name}' has {len(own)} tasks where the other arms have {len(like)}")
        return [np.array([own[task].differences for own in rows], np.float64) for task in range(len(like))]

    made = [
        FrontArm(
            name,
            stacked(name, [one.gains for one in own], first.gains),
            stacked(name, [one.general for one in own], first.general),
        )
        for name, own in arms.items()
    ]
    return front(
        made,
        gain_clusters=[row.clusters for row in first.gains],
        general_clusters=[row.clusters for row in first.general],
        base=base,
        alpha=alpha,
        seed=seed,
    )


def _strata(arms: Sequence[FrontArm], kind: Literal["gain", "general"], words: str) -> list[list[Floats]]:
    """Per task one array of shape (seeds, items) for each arm."""
    import numpy as np

    if not arms:
        raise EvalError("no arm to place on the front")
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise EvalError(f"arm '{next(name for name in names if names.count(name) > 1)}' is given twice")
    columns = [[np.atleast_2d(np.asarray(x, np.float64)) for x in getattr(arm, kind)] for arm in arms]
    for name, own in zip(names, columns, strict=True):
        if not own:
            raise EvalError(f"arm '{name}' has no {words}; the front needs both")
        shapes = [x.shape[1] for x in own]
        if shapes != [x.shape[1] for x in columns[0]] or not all(shapes):
            raise EvalError(f"arm '{name}' has other items ({kind}: {shapes}) than arm '{names[0]}'")
        if not all(np.isfinite(x).all() for x in own):
            raise EvalError(f"arm '{name}' has a difference that is no number")
    return [list(task) for task in zip(*columns, strict=True)]


def _draws(
    strata: Sequence[Sequence[Floats]],
    gains: int,
    clusters: Sequence[ArrayLike | None],
    *,
    even: bool,
    resamples: int,
    seed: int,
) -> tuple[Floats, Floats]:
    """Estimates (2, arms) and draws (2, resamples, arms), gain then loss; one draw has one set of seeds."""
    import numpy as np

    from evalkit.statistics import draw_items, draw_seeds

    random = np.random.default_rng(seed)
    weights = draw_seeds(len(strata[0][0]), random, resamples) if even else np.ones((resamples, 1))
    arms = len(strata[0])
    estimates, draws = np.zeros((2, arms)), np.zeros((2, resamples, arms))
    for at, (task, named) in enumerate(zip(strata, clusters, strict=True)):
        kind, share = (0, 1 / gains) if at < gains else (1, -1 / (len(strata) - gains))
        means = np.stack(task if even else [x.mean(axis=0, keepdims=True) for x in task])
        estimates[kind] += share * means.mean(axis=(1, 2))
        items = draw_items(means, random, resamples, clusters=named)
        draws[kind] += share * np.einsum("ras,rs->ra", items, weights)
    return estimates, draws


def _on_front(gain: Floats, loss: Floats, *, base: bool) -> NDArray[np.bool_]:
    """For each row of shape (arms,), which arms no other dominates."""
    import numpy as np

    if base:
        gain, loss = (np.hstack([x, np.zeros((len(x), 1))]) for x in (gain, loss))
    count = gain.shape[1] - base
    beaten = np.zeros((len(gain), count), dtype=bool)
    for other in range(gain.shape[1]):
        least_as_good = (gain[:, other, None] >= gain[:, :count]) & (loss[:, other, None] <= loss[:, :count])
        better = (gain[:, other, None] > gain[:, :count]) | (loss[:, other, None] < loss[:, :count])
        beaten |= least_as_good & better
    return ~beaten
