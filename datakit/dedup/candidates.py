"""Locality-sensitive hashing: which pairs of signatures are worth an exact comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MIN_RECALL", "bands_for", "candidate_pairs"]

# Chance that a pair exactly at the threshold becomes a candidate; above the threshold it is higher.
MIN_RECALL: Final = 0.99
# Up to this many sketches in one bucket all pairs are compared; in a larger one each with the kept ones only, or a
# hundred thousand fillings of one form letter would be five billion pairs.
MAX_ALL_PAIRS: Final = 256


def bands_for(threshold: float, num_perm: int, *, min_recall: float = MIN_RECALL) -> tuple[int, int]:
    """Number of bands and rows per band: the most rows for which ``1 - (1 - threshold^rows)^bands >= min_recall``.

    More rows mean fewer useless candidates (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.3).
    With 128 permutations a threshold of 0.8 takes 21 bands of 6 rows: a recall of .998 at the threshold itself.
    """
    best = (num_perm, 1)
    for rows in range(2, num_perm + 1):
        bands = num_perm // rows
        if 1 - (1 - threshold**rows) ** bands >= min_recall:
            best = (bands, rows)
    return best


def candidate_pairs(matrix: NDArray[np.uint32], threshold: float) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Pairs of rows that agree in a whole band, and the buckets too large for pairs.

    Args:
        matrix: Signatures (rows, num_perm).
        threshold: Similarity that a pair should have.

    Returns:
        Array (pairs, 2) of row numbers, distinct, first < second; list of the row numbers of each large bucket.
    """
    import numpy as np

    count = len(matrix)
    bands, rows = bands_for(threshold, matrix.shape[1])
    codes = np.zeros(0, dtype=np.int64)
    large: dict[bytes, NDArray[np.int64]] = {}
    for band in range(bands):
        order, starts, sizes = _buckets(matrix[:, band * rows : (band + 1) * rows])
        found = [_pairs_of_size(order, starts[sizes == size], size) for size in _sizes(sizes)]
        if found:
            first, second = np.concatenate(found).T
            codes = np.union1d(codes, np.minimum(first, second) * count + np.maximum(first, second))
        for start, size in zip(starts[sizes > MAX_ALL_PAIRS], sizes[sizes > MAX_ALL_PAIRS], strict=True):
            members = np.sort(order[start : start + size])
            large.setdefault(members.tobytes(), members)
    return np.stack(np.divmod(codes, max(count, 1)), axis=1), list(large.values())


def _buckets(band: NDArray[np.uint32]) -> tuple[Any, Any, Any]:
    """Rows sorted by their values in one band; where each bucket of two or more starts in that order; its size."""
    import numpy as np

    order = np.lexsort(band.T)
    ordered = band[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    sizes = np.diff(starts, append=len(order))
    return order, starts[sizes > 1], sizes[sizes > 1]


def _sizes(sizes: Any) -> list[int]:
    import numpy as np

    return [int(size) for size in np.unique(sizes) if size <= MAX_ALL_PAIRS]


def _pairs_of_size(order: Any, starts: Any, size: int) -> Any:
    """All pairs within buckets of one size."""
    import numpy as np

    members = order[starts[:, None] + np.arange(size)]
    left, right = np.triu_indices(size, k=1)
    return np.stack([members[:, left].reshape(-1), members[:, right].reshape(-1)], axis=1)
