"""The kernels of the second phase as Python says them, for few texts: the same results without a compiler."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from datakit.text.shingles import ShingleSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]

__all__ = [
    "best_kept",
    "best_other",
    "components",
    "differ",
    "drop",
    "nearby",
    "new_pairs",
    "similarities",
    "similarity",
]


def new_pairs(keys: NDArray[np.uint32], crowd: Flags, fixed: int, limit: int) -> Iterator[Ints]:
    """See :func:`datakit.dedup.candidates.candidate_pairs`."""
    import numpy as np

    for band in range(keys.shape[1]):
        order = np.argsort(keys[:, band], kind="stable")
        ordered = keys[order, band]
        edges = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(order)]])
        found: list[tuple[int, int]] = []
        for run in np.flatnonzero(np.diff(edges) > 1).tolist():
            bucket = order[edges[run] : edges[run + 1]]
            if len(bucket) > limit:
                crowd[bucket] = True
            else:
                found.extend(pair for pair in itertools.combinations(bucket.tolist(), 2) if pair[1] >= fixed)
        pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
        yield pairs[~(keys[pairs[:, 0], :band] == keys[pairs[:, 1], :band]).any(axis=1)]


def similarity(left: frozenset[int], right: frozenset[int]) -> float:
    """Share of the union that two sets have in common."""
    both = len(left & right)
    return both / (len(left) + len(right) - both) if both else 0.0


def similarities(sets: ShingleSets, pairs: Ints, threshold: float, found: Floats) -> None:
    """Jaccard similarity of pairs of sets; 0 where it is below the threshold."""
    shingles = [frozenset(sets[number].tolist()) for number in range(len(sets))]
    for at, (left, right) in enumerate(pairs.tolist()):
        value = similarity(shingles[left], shingles[right])
        found[at] = value if value >= threshold else 0.0


def differ(labels: Sequence[int], left: int, right: int) -> bool:
    """Whether both are labelled, and differently."""
    return labels[left] >= 0 and labels[right] >= 0 and labels[left] != labels[right]


def best_kept(
    node: int, near: Sequence[tuple[int, float]], labels: Sequence[int], aside: Flags, partner: Ints, *, across: bool
) -> tuple[int, float]:
    """The most similar earlier neighbour that stays, the earlier of two; -1 where there is none."""
    staying = [
        (-value, other)
        for other, value in near
        if other < node and not aside[other] and partner[other] < 0 and (across or not differ(labels, node, other))
    ]
    if not staying:
        return -1, 0.0
    value, other = min(staying)
    return other, -value


def nearby(starts: Ints, others: Ints, values: Floats) -> list[list[tuple[int, float]]]:
    """Neighbours of each node, with their similarities."""
    both = list(zip(others.tolist(), values.tolist(), strict=True))
    return [both[first:end] for first, end in itertools.pairwise(starts.tolist())]


def drop(
    starts: Ints, others: Ints, values: Floats, labels: Ints, aside: Flags, fixed: int, across: bool
) -> tuple[Any, Any]:
    """See :func:`datakit.dedup.compiled.drop`."""
    import numpy as np

    near, names = nearby(starts, others, values), labels.tolist()
    partner, similar = np.full(len(near), -1, np.int64), np.zeros(len(near))
    for node in range(fixed, len(near)):
        if near[node] and not aside[node]:
            partner[node], similar[node] = best_kept(node, near[node], names, aside, partner, across=across)
    return partner, similar


def best_other(starts: Ints, others: Ints, values: Floats, labels: Ints) -> tuple[Any, Any]:
    """See :func:`datakit.dedup.compiled.best_other`."""
    import numpy as np

    near, names = nearby(starts, others, values), labels.tolist()
    partner, similar = np.full(len(near), -1, np.int64), np.zeros(len(near))
    for node, some in enumerate(near):
        unlike = [(-value, other) for other, value in some if differ(names, node, other)]
        if unlike:
            partner[node] = min(unlike)[1]
            similar[node] = -min(unlike)[0]
    return partner, similar


def components(count: int, pairs: Ints) -> Any:
    """Smallest node of each node's connected component."""
    import numpy as np

    root = list(range(count))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for left, right in pairs.tolist():
        first, second = sorted((find(left), find(right)))
        root[second] = first
    return np.array([find(node) for node in range(count)], dtype=np.int64)
