"""What deduplication found: a mask to use, and everything needed to audit it or to draw the line elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PAIRS", "DedupResult"]

PAIRS = pa.schema([("first", pa.int64()), ("second", pa.int64()), ("similarity", pa.float64())])


@dataclass(frozen=True, slots=True, eq=False)
class DedupResult:
    """Outcome for every text, by its number.

    Attributes:
        keep: Whether the text stays.
        partner: The kept text because of which it goes (for a conflict: the text with the other label); -1 where it
            stays.
        similarity: Exact Jaccard similarity to the partner; NaN where it stays.
        exact: It goes because of an equal text, after normalisation.
        conflict: It goes because an equal or similar text has another label.
        cluster: Number of the first text, in keep order, of its connected component; its own number where alone.
        pairs: Verified pairs (first, second, similarity), the first before the second in keep order. Of texts with
            the same shingles only the pairs with their first one are listed.
        threshold: Smallest similarity that counts.
        outside: Number of the text of the reference set, or of the index, because of which it goes; -1 otherwise
            (``partner`` is -1 then).
    """

    keep: NDArray[np.bool_]
    partner: NDArray[np.int64]
    similarity: NDArray[np.float64]
    exact: NDArray[np.bool_]
    conflict: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    pairs: pa.Table
    threshold: float
    outside: NDArray[np.int64]
    _again: Callable[[float], DedupResult] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.keep)

    def rethreshold(self, threshold: float) -> DedupResult:
        """The result at another threshold, higher or lower, from the same signatures: texts are not read again."""
        if self._again is None:
            raise ValueError("this result was made without its signatures")
        return self._again(threshold)
