"""Texts to MinHash signatures (datasketch 2, scheme ``affine32``): the first phase, one batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.dedup.exact import text_hashes
from datakit.text.script import Unit
from datakit.text.shingles import ShingleSets, shingle_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Texts", "as_list", "minhash", "shingle_hashes", "signatures"]

Texts: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray

# The matrix of permuted hashes of one document would be shingles x permutations: a long line goes in pieces.
_CHUNK_SHINGLES: Final = 1 << 15


def as_list(texts: Texts) -> list[str | None]:
    """Texts as a list; None where a text is missing."""
    found: list[str | None]
    found = texts.to_pylist() if isinstance(texts, pa.Array | pa.ChunkedArray) else list(texts)
    for index, text in enumerate(found):
        if text is not None and not isinstance(text, str):
            raise StepError(f"a text must be a string or None, not {type(text).__name__}", where=f"texts[{index}]")
    return found


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
    return _sketch(shingle_sets(as_list(texts), ngram=ngram, unit=unit), num_perm, seed)


def _sketch(sets: ShingleSets, num_perm: int, seed: int) -> NDArray[np.uint32]:
    import numpy as np
    from datasketch import MinHash

    matrix = np.empty((len(sets), num_perm), dtype=np.uint32)
    low = sets.hashes.astype(np.uint32)
    sketch: Any = MinHash(num_perm=num_perm, seed=seed, hashfunc=int, scheme="affine32")
    for row in range(len(sets)):
        first, end = int(sets.offsets[row]), int(sets.offsets[row + 1])
        sketch.clear()
        for start in range(first, end, _CHUNK_SHINGLES):
            sketch.update_batch(low[start : min(end, start + _CHUNK_SHINGLES)].tolist())
        matrix[row] = sketch.hashvalues
    return matrix


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
    import numpy as np

    values = as_list(texts)
    whole, present = text_hashes(values)
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    some = shingle_sets([values[i] for i in first], ngram=ngram, unit=unit)
    offsets = pa.array(some.offsets, type=pa.int64())
    shingles = pa.LargeListArray.from_arrays(offsets, pa.array(some.hashes, type=pa.uint64()))
    matrix = _sketch(some, num_perm, seed).reshape(-1)
    sketches = pa.FixedSizeListArray.from_arrays(pa.array(matrix, type=pa.uint32()), num_perm)
    take = pa.array(inverse.reshape(-1), type=pa.int64())
    return pa.table(
        {
            "whole": pa.array(whole, type=pa.uint64(), mask=~present),
            "shingles": shingles.take(take),
            "signature": sketches.take(take),
        }
    )
