"""Exact Jaccard similarity of candidate pairs: no row is dropped on the word of a sketch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datakit.dedup.source import Source
from datakit.text.kernel import concurrently

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Verifier"]

_MAX_BYTES: Final = 1 << 26
_MAX_PAIRS: Final = 1 << 20
_CHUNK: Final = 1 << 13


class Verifier:
    """Answers for pairs of rows what share of the union of their shingles they have in common.

    Args:
        source: Of the sets; at any time it is asked for about 64 MB of them.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._weights = source.weights()

    def jaccard(self, pairs: NDArray[np.int64], threshold: float) -> NDArray[np.float64]:
        """Similarities of pairs of rows (n, 2); 0 where below the threshold."""
        import numpy as np

        found = np.zeros(len(pairs))
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        start, step = 0, _MAX_PAIRS
        while start < len(pairs):
            chosen = order[start : start + step]
            rows, inverse = np.unique(pairs[chosen], return_inverse=True)
            if step > 1 and int(self._weights[rows].sum()) > _MAX_BYTES:
                step = (min(step, len(chosen)) + 1) // 2
                continue
            found[chosen] = self._similarities(rows, inverse.reshape(-1, 2), threshold)
            start += step
            step = min(2 * step, _MAX_PAIRS)
        return found

    def _similarities(self, rows: NDArray[np.int64], pairs: NDArray[np.int64], threshold: float) -> NDArray[np.float64]:
        import numpy as np

        from datakit.dedup.compiled import similarities

        sets = self._source.sets(rows)
        found = np.zeros(len(pairs))

        def work(start: int) -> None:
            end = min(start + _CHUNK, len(pairs))
            similarities(sets.hashes, sets.offsets, pairs, start, end, threshold, found)

        for _ in concurrently(work, range(0, len(pairs), _CHUNK)):
            pass
        return found
