"""Exact duplicates: equal after normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datakit.text.shingles import shingle_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["text_hashes"]


def text_hashes(texts: Sequence[str | None]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Hash of each normalised text (0 for None), and whether there is a text.

    Blank texts are equal to one another. None is equal to nothing: a row without the compared column is no duplicate.
    """
    import numpy as np

    sets = shingle_sets(texts, ngram=None)
    present = np.diff(sets.offsets) > 0
    hashes = np.zeros(len(texts), dtype=np.uint64)
    hashes[present] = sets.hashes
    return hashes, present
