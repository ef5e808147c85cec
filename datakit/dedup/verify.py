"""Exact Jaccard similarity of candidate pairs: no row is dropped on the word of a sketch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datakit.text.shingles import ShingleSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Verifier"]

_CHUNK: Final = 1 << 20


class Verifier:
    """Answers for pairs of sets what share of their union they have in common.

    Every (set, shingle) becomes one number; the numbers ascend, so membership is a binary search.

    Args:
        sets: Shingle sets.
    """

    def __init__(self, sets: ShingleSets) -> None:
        import numpy as np

        distinct, dense = np.unique(sets.hashes, return_inverse=True)
        self._width = max(len(distinct), 1)
        self._dense = dense.reshape(-1).astype(np.int64)
        self._offsets = sets.offsets
        self._sizes = np.diff(sets.offsets)
        keys = self._dense + np.repeat(np.arange(len(sets)), self._sizes) * self._width
        self._keys = keys  # ascending: hashes ascend within a set and dense numbers keep their order

    def jaccard(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Similarities of pairs (n, 2); 0 where both sets are empty."""
        import numpy as np

        smaller, larger = pairs[:, 0].copy(), pairs[:, 1].copy()
        swap = self._sizes[smaller] > self._sizes[larger]
        smaller[swap], larger[swap] = larger[swap], smaller[swap]
        common = np.zeros(len(pairs), dtype=np.int64)
        cost = np.cumsum(self._sizes[smaller])
        start = 0
        while start < len(pairs):
            spent = int(cost[start - 1]) if start else 0
            end = max(int(np.searchsorted(cost, spent + _CHUNK, side="right")), start + 1)
            common[start:end] = self._common(smaller[start:end], larger[start:end])
            start = end
        union = self._sizes[smaller] + self._sizes[larger] - common
        similarity: NDArray[np.float64] = common / np.maximum(union, 1)
        return similarity

    def _common(self, smaller: Any, larger: Any) -> Any:
        """Number of shingles each smaller set has in common with its larger one."""
        import numpy as np

        sizes = self._sizes[smaller]
        first = np.cumsum(sizes) - sizes
        pair = np.repeat(np.arange(len(smaller)), sizes)
        position = np.arange(int(sizes.sum())) - first[pair] + self._offsets[smaller][pair]
        wanted = self._dense[position] + larger[pair] * self._width
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.bincount(pair[self._keys[at] == wanted], minlength=len(smaller))
