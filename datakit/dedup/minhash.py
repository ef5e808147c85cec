"""Texts to MinHash signatures (datasketch 2, scheme ``affine32``): the first phase, one batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from datakit.text.column import TextColumn, Texts
from datakit.text.kernel import Scheme, sketch_column
from datakit.text.script import Unit
from datakit.text.shingles import column_sets, shingle_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["minhash", "shingle_hashes", "signatures"]


def shingle_hashes(text: str | None, *, ngram: int = 5, unit: Unit = "word") -> NDArray[np.uint32]:
    """The 32-bit hashes that a text's signature is made of: ascending, distinct; none only for None."""
    import numpy as np

    return np.unique(shingle_sets([text], ngram=ngram, unit=unit).hashes.astype(np.uint32))


def minhash(
    texts: Texts, *, num_perm: int = 128, ngram: int = 5, unit: Unit = "word", seed: int = 1
) -> NDArray[np.uint32]:
    """MinHash signatures.

    Args:
        texts: List of strings or Arrow string array.
        num_perm: Length of a signature; the standard error of a similarity read off it is about 1/sqrt(num_perm).
        ngram: Units per shingle.
        unit: See :func:`datakit.text.shingle_sets`.
        seed: Of the permutations.

    Returns:
        Matrix (texts, num_perm), equal to ``datasketch.MinHash(num_perm, seed, scheme="affine32")`` updated with
        :func:`shingle_hashes`; a row of 2^32 - 1 for None.
    """
    return sketch_column(TextColumn(texts), Scheme(ngram, unit, num_perm, seed), matrix=True).matrix


def signatures(
    texts: Texts, *, num_perm: int = 128, ngram: int | None = 5, unit: Unit = "word", seed: int = 1
) -> pa.Table:
    """What :func:`datakit.dedup.cluster` needs to know of each text; row by row, so batches may be concatenated.

    Args:
        texts: List of strings or Arrow string array.
        num_perm: Length of a signature.
        ngram: Units per shingle; None compares whole normalised texts only.
        unit: See :func:`datakit.text.shingle_sets`.
        seed: Of the permutations.

    Returns:
        Table with ``whole`` (uint64, hash of the normalised text, null for None), ``shingles`` (their 64-bit hashes,
        ascending) and ``signature`` (fixed-size list of uint32).
    """
    column = TextColumn(texts)
    sketches = sketch_column(column, Scheme(ngram, unit, num_perm, seed), matrix=True)
    some = column_sets(column, None, ngram=ngram, unit=unit)
    offsets = pa.array(some.offsets, type=pa.int64())
    flat = pa.array(sketches.matrix.reshape(-1), type=pa.uint32())
    return pa.table(
        {
            "whole": pa.array(sketches.whole, type=pa.uint64(), mask=~column.present()),
            "shingles": pa.LargeListArray.from_arrays(offsets, pa.array(some.hashes, type=pa.uint64())),
            "signature": pa.FixedSizeListArray.from_arrays(flat, num_perm),
        }
    )
