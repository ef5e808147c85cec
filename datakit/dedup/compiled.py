"""Kernels of the second phase: pairs of a band, their exact similarity, greedy dropping, connected components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from datakit.core.jit import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]

__all__ = [
    "best_kept",
    "best_other",
    "common",
    "components",
    "differ",
    "drop",
    "least_common",
    "new_pairs",
    "similarities",
]


@jit
def _agree(keys: NDArray[np.uint32], left: Any, right: Any, bands: int) -> bool:
    """Whether two nodes agree in one of the first bands."""
    for band in range(bands):  # noqa: SIM110  (numba compiles no generators)
        if keys[left, band] == keys[right, band]:
            return True
    return False


@jit
def new_pairs(
    ordered: NDArray[np.uint64], start: int, keys: NDArray[np.uint32], band: int, fixed: int, limit: int, crowd: Flags,
    pairs: NDArray[np.uint32], used: int,
) -> tuple[int, int]:  # fmt: skip
    """All pairs of each bucket of one band that no earlier band has brought.

    Args:
        ordered: Key and node of each node as one number, ascending.
        start: Where in it to go on.
        keys: Keys of all bands (nodes, bands).
        band: Its number.
        fixed: The first nodes, which stay in any case: no pairs among them.
        limit: Largest bucket that is taken apart into pairs; the nodes of larger ones are marked in ``crowd``.
        crowd: See above.
        pairs: Room for (node, node), at least ``limit * limit / 2``.
        used: How many stand there already.

    Returns:
        Where to go on (the end when done), and how many pairs there are.
    """
    count = len(ordered)
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    while start < count:
        key = ordered[start] >> half
        end = start + 1
        while end < count and ordered[end] >> half == key:
            end += 1
        size = end - start
        if size > limit:
            for k in range(start, end):
                crowd[np.int64(ordered[k] & low)] = True
        elif size > 1:
            if used + size * (size - 1) // 2 > len(pairs):
                return start, used
            for j in range(start + 1, end):
                right = np.int64(ordered[j] & low)
                if right < fixed:
                    continue
                for i in range(start, j):
                    left = np.int64(ordered[i] & low)
                    if not _agree(keys, left, right, band):
                        pairs[used, 0], pairs[used, 1] = left, right
                        used += 1
        start = end
    return start, used


@jit
def common(hashes: NDArray[np.uint64], i: int, i_end: int, j: int, j_end: int, least: int) -> int:
    """Size of the intersection of two ascending ranges; -1 as soon as it cannot reach ``least``."""
    found = 0
    spare_i, spare_j = i_end - i - least, j_end - j - least
    if min(spare_i, spare_j) < 0:
        return -1
    while i < i_end and j < j_end:
        left, right = hashes[i], hashes[j]
        if left == right:
            found += 1
            i += 1
            j += 1
        elif left < right:
            i += 1
            spare_i -= 1
            if spare_i < 0:
                return -1
        else:
            j += 1
            spare_j -= 1
            if spare_j < 0:
                return -1
    return found


@jit
def least_common(left: int, right: int, threshold: float) -> int:
    """Smallest intersection of two sets of these sizes whose share of the union reaches the threshold, or one less."""
    return max(int(np.floor(threshold / (1.0 + threshold) * (left + right) - 1e-6)), 1)


@jit
def similarities(
    hashes: NDArray[np.uint64], offsets: Ints, pairs: Ints, first: int, last: int, threshold: float, found: Floats
) -> None:
    """Jaccard similarity of sets ``pairs[first:last]`` into ``found``; 0 where it is below the threshold."""
    for k in range(first, last):
        i, j = pairs[k, 0], pairs[k, 1]
        left, right = offsets[i + 1] - offsets[i], offsets[j + 1] - offsets[j]
        least = least_common(left, right, threshold)
        both = common(hashes, offsets[i], offsets[i + 1], offsets[j], offsets[j + 1], least)
        found[k] = both / (left + right - both) if both > 0 else 0.0
        if found[k] < threshold:
            found[k] = 0.0


@jit
def differ(labels: Ints, left: int, right: int) -> Any:
    """Whether both are labelled, and differently."""
    return labels[left] >= 0 and labels[right] >= 0 and labels[left] != labels[right]


@jit
def best_kept(
    node: int, starts: Ints, others: Ints, values: Floats, labels: Ints, aside: Flags, partner: Ints, across: bool
) -> tuple[int, float]:
    """The most similar earlier neighbour that stays, the earlier of two; -1 where there is none."""
    best, similarity = -1, 0.0
    for k in range(starts[node], starts[node + 1]):
        other = others[k]
        if other >= node or aside[other] or partner[other] >= 0 or (not across and differ(labels, node, other)):
            continue
        if values[k] > similarity or (values[k] == similarity and other < best):
            best, similarity = other, values[k]
    return best, similarity


@jit
def drop(
    starts: Ints, others: Ints, values: Floats, labels: Ints, aside: Flags, fixed: int, across: bool
) -> tuple[Any, Any]:
    """Greedy dropping in keep order.

    Args:
        starts: Neighbours of node ``i`` are ``others[starts[i]:starts[i + 1]]``.
        others: Neighbours.
        values: Their similarities.
        labels: Label of each node, -1 where unlabelled.
        aside: Nodes that take no part.
        fixed: The first nodes, which stay in any case.
        across: Whether a node may go because of one with another label.

    Returns:
        The kept neighbour because of which each node goes (-1: none), and the similarity.
    """
    count = len(starts) - 1
    partner, similarity = np.full(count, -1, np.int64), np.zeros(count, np.float64)
    for node in range(fixed, count):
        if not aside[node]:
            partner[node], similarity[node] = best_kept(node, starts, others, values, labels, aside, partner, across)
    return partner, similarity


@jit
def best_other(starts: Ints, others: Ints, values: Floats, labels: Ints) -> tuple[Any, Any]:
    """The most similar neighbour with another label of each node (-1: none), and the similarity."""
    count = len(starts) - 1
    partner, similarity = np.full(count, -1, np.int64), np.zeros(count, np.float64)
    for node in range(count):
        for k in range(starts[node], starts[node + 1]):
            if not differ(labels, node, others[k]):
                continue
            if values[k] > similarity[node] or (values[k] == similarity[node] and others[k] < partner[node]):
                partner[node], similarity[node] = others[k], values[k]
    return partner, similarity


@jit
def components(count: int, pairs: Ints) -> Any:
    """Smallest node of each node's connected component."""
    root = np.arange(count)
    for k in range(len(pairs)):
        left, right = pairs[k, 0], pairs[k, 1]
        while root[left] != left:
            root[left] = root[root[left]]
            left = root[left]
        while root[right] != right:
            root[right] = root[root[right]]
            right = root[right]
        root[max(left, right)] = min(left, right)
    for node in range(count):  # a root is smaller than its members, so it is final when they ask
        root[node] = root[root[node]]
    return root
