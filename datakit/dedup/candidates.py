"""Locality-sensitive hashing: which pairs of signatures are worth an exact comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_ALL_PAIRS", "MIN_RECALL", "bands_for", "candidate_pairs"]

# Chance that a pair exactly at the threshold becomes a candidate; above the threshold it is higher.
MIN_RECALL: Final = 0.99
# Up to this many signatures in one bucket all pairs are compared; larger ones form the crowd (see crowd.py), or a
# hundred thousand fillings of one form letter would be five billion pairs.
MAX_ALL_PAIRS: Final = 64
_ROOM: Final = 1 << 23


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


def candidate_pairs(
    keys: NDArray[np.uint32], crowd: NDArray[np.bool_], *, fixed: int = 0, room: int = _ROOM
) -> Iterator[NDArray[np.int64]]:
    """Pairs of rows that agree in a whole band, each once, some millions at a time.

    Each band is sorted by itself, so memory holds one band's order and one batch of pairs.

    Args:
        keys: Keys of the bands (rows, bands).
        crowd: Set to True for rows in buckets that are too large for pairs; they are paired with nobody there.
        fixed: The first rows: no pairs among them.
        room: Pairs at a time.

    Yields:
        Arrays (pairs, 2) of row numbers, first < second.
    """
    import numpy as np

    from datakit.dedup.compiled import new_pairs

    numbers = np.arange(len(keys), dtype=np.uint64)
    pairs = np.empty((max(min(room, MAX_ALL_PAIRS * len(keys) // 2 + 1), MAX_ALL_PAIRS**2), 2), dtype=np.uint32)
    used = 0
    for band in range(keys.shape[1]):
        ordered = keys[:, band].astype(np.uint64)
        ordered <<= np.uint64(32)
        ordered |= numbers
        ordered.sort()
        start = 0
        while start < len(ordered):
            start, used = new_pairs(ordered, start, keys, band, fixed, MAX_ALL_PAIRS, crowd, pairs, used)
            if start < len(ordered):
                yield pairs[:used].astype(np.int64)
                used = 0
    yield pairs[:used].astype(np.int64)
