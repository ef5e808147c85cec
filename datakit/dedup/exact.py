"""Exact duplicates: equal after normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datakit.text.column import TextColumn, Texts
from datakit.text.kernel import Scheme, sketch_column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["text_hashes"]


def text_hashes(texts: Texts) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Hash of each normalised text (0 for None), and whether there is a text.

    Blank texts are equal to one another. None is equal to nothing: a row without the compared column is no duplicate.
    """
    column = TextColumn(texts)
    return sketch_column(column, Scheme(ngram=None, num_perm=0)).whole, column.present()
